// The view for who runs the service: its load, figures live, alerts, and all jobs.

import { Alerts } from "./alerts.js";
import { card, el, say } from "./dom.js";
import { t, tText } from "./i18n.js";
import { JobList } from "./jobs.js";
import { Metrics } from "./metrics.js";
import { problemBox, showProblem } from "./problem.js";
import { client, tasks } from "./session.js";
import { Connection, transportName } from "./status.js";

/** Milliseconds between two looks at the server's state. */
const LOOK_MS = 2000;
/** Events before the present that the charts begin with. */
const HISTORY = 2400;
const DAY_S = 86_400;
/** How loaded the service is, by its pressure level. */
const LOADS = ["all is well", "busy", "very busy", "overloaded: new jobs are refused"];

export class MonitorView {
  constructor() {
    this.service = new Service();
    this.figures = new Figures(tasks.some(({ name }) => name === "monitor"));
    this.list = new JobList({ title: t("all_jobs"), limit: 50, filters: true, address: "#/monitor" });
    this.node = el(
      "div",
      { className: "stack" },
      el("h1", { className: "unseen" }, t("monitor")),
      el(
        "div",
        { className: "columns job" },
        el("div", { className: "stack" }, this.figures.node, this.list.node),
        el("div", { className: "stack" }, this.service.node, this.figures.warnings),
      ),
    );
  }

  close() {
    for (const each of [this.service, this.figures, this.list]) each.close();
  }
}

/** What `/readyz` says. */
class Service {
  constructor() {
    this.facts = el("dl", { className: "facts" });
    this.notes = el("ul", { className: "alerts", ariaLabel: t("notes") });
    this.problem = problemBox();
    this.why = el("span", { className: "hint" });
    this.level = el("span", { className: "status", data: { status: "queued" } });
    this.node = card(
      t("service"),
      "stack first",
      el("p", { className: "bar" }, this.level, this.why),
      this.facts,
      this.notes,
      this.problem,
    );
    this.timer = setInterval(() => document.hidden || this.look(), LOOK_MS);
    this.look();
  }

  async look() {
    try {
      this.draw(await client.ready());
      showProblem(this.problem, null);
    } catch (error) {
      this.level.dataset.status = "failed";
      say(this.level, t("not_reachable"));
      showProblem(this.problem, error);
    }
  }

  draw({ ready, missing, notes, jobs, streams, pressure }) {
    const level = pressure?.level ?? 0;
    say(this.why, pressure?.why ? t("because_of_why", { why: pressure.why }) : "");
    this.level.dataset.status = !ready ? "failed" : level ? "waiting_for_input" : "completed";
    say(this.level, ready ? tText(LOADS[level] ?? LOADS[0]) : t("not_ready"));
    const open = Object.entries(streams ?? {}).map(([name, count]) => `${transportName(name)} ${count}`);
    const facts = [
      [t("running_jobs"), jobs?.running],
      [t("waiting_jobs"), jobs?.queued],
      [t("stuck_threads"), jobs?.stuck_threads],
      [t("open_streams"), open.join(", ") || 0],
    ];
    this.facts.replaceChildren(
      ...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value ?? "–"))]),
    );
    const lines = [...missing.map((each) => ["critical", each]), ...notes.map((each) => ["warning", each])];
    this.notes.hidden = !lines.length;
    this.notes.replaceChildren(...lines.map(([kind, text]) => el("li", { data: { kind } }, text)));
  }

  close() {
    clearInterval(this.timer);
  }
}

/** The charts of the task `monitor`: of the one that runs, or of one that is started here. */
class Figures {
  constructor(known) {
    this.known = known;
    this.alerts = new Alerts();
    this.metrics = new Metrics();
    this.connection = new Connection();
    this.problem = problemBox();
    this.empty = el(
      "p",
      { className: "empty", hidden: true },
      known
        ? t("no_monitor_runs_start_draws")
        : t("server_has_no_task_named"),
    );
    this.begin = el(
      "button",
      { type: "button", className: "main", hidden: true, onclick: () => this.start() },
      t("start_the_monitor"),
    );
    this.stop = el(
      "button",
      { type: "button", className: "small", hidden: true, onclick: () => this.end() },
      t("stop_the_monitor"),
    );
    this.open = el("a", { className: "link", hidden: true }, t("its_log"));
    const head = el(
      "header",
      { className: "bar" },
      el("h2", {}, t("live_figures")),
      this.connection.node,
      el("span", { className: "end bar" }, this.open, this.begin, this.stop),
    );
    this.node = el(
      "section",
      { className: "card stack", ariaLabel: t("live_figures") },
      head,
      this.empty,
      this.problem,
      this.metrics.node,
    );
    this.quiet = el("p", { className: "hint" }, t("none_so_far"));
    this.warnings = card(t("alert_history"), "history first", this.quiet, this.alerts.node);
    this.watches = [];
    if (known) this.find();
    else this.offer();
  }

  /** Look again until the server has said which one runs: it may be away for now. */
  async find() {
    await this.guard(async () => {
      const { jobs } = await client.jobs({ task: "monitor", status: "running", limit: 1 });
      if (jobs.length) this.follow(jobs[0]);
      else this.offer();
      this.found = true;
    });
    if (!this.found && !this.closed) this.again = setTimeout(() => this.find(), LOOK_MS);
  }

  offer() {
    this.empty.hidden = false;
    this.begin.hidden = !this.known;
    for (const each of [this.stop, this.open, this.connection.node]) each.hidden = true;
  }

  async start() {
    this.begin.disabled = true;
    await this.guard(async () =>
      this.follow(await client.submit({ task: "monitor", input: { interval_s: 1 }, timeout_s: DAY_S })),
    );
    this.begin.disabled = false;
  }

  follow(job) {
    if (this.closed) return; // left while the server was asked
    this.job = job.id;
    this.empty.hidden = this.begin.hidden = true;
    for (const each of [this.stop, this.open, this.connection.node]) each.hidden = false;
    this.open.href = `#/jobs/${job.id}`;
    for (const { name } of job.metrics) this.metrics.chartOf(name); // in their order
    const after = Math.max(0, job.seq - HISTORY);
    this.watches = [
      client.watch(job.id, {
        after,
        types: ["metric"],
        onEvent: (event) => this.take(event),
        onState: (state) => this.connection.tell(state),
      }),
      client.watch(job.id, { after: 0, types: ["alert"], onEvent: (event) => this.warn(event) }),
    ];
  }

  take(event) {
    this.metrics.add(event);
    if (event.type === "job.cancelled" || event.type === "job.failed") this.offer();
  }

  warn(event) {
    this.alerts.add(event);
    this.quiet.hidden = !this.alerts.isEmpty;
  }

  async end() {
    this.stop.disabled = true;
    await this.guard(() => client.cancel(this.job));
    this.stop.disabled = false;
  }

  async guard(act) {
    try {
      await act();
      showProblem(this.problem, null);
    } catch (error) {
      showProblem(this.problem, error);
    }
  }

  close() {
    this.closed = true;
    clearTimeout(this.again);
    for (const each of this.watches) each.close();
    this.metrics.close();
    this.connection.close();
  }
}
