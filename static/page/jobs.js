// A list of jobs, newest first, those under way followed live over one connection.

import { card, el, freshId, say } from "./dom.js";
import { duration, moment, percent, t } from "./i18n.js";
import { problemBox, showProblem } from "./problem.js";
import { client, taskTitle, tasks } from "./session.js";
import { ACTIVE, TERMINAL, statusMark, statusText } from "./status.js";
import { fold } from "../client/streaming.js";

/** Milliseconds between two looks for jobs that others have started. */
const LOOK_MS = 4000;
/** Rows that stay in the page, however long it is open. */
const ROWS = 500;
/** What moves a row; text would only cost. */
const TYPES = ["job.started", "job.progress", "job.cancel_requested", "input.requested", "input.received"];

export class JobList {
  /** Of one `task`, or with `filters`; `view` is where a row leads. */
  constructor({ title, limit, filters = false, task, view = "#/jobs" }) {
    this.limit = limit;
    this.only = task;
    this.view = view;
    this.rows = new Map();
    this.problem = problemBox();
    this.list = el("ul", { className: "jobs" });
    this.empty = el("p", { className: "empty", hidden: true });
    this.more = el("button", { type: "button", hidden: true, onclick: () => this.older() }, t("Older jobs"));
    this.status = choice(t("Status"), ["", ...ACTIVE, ...TERMINAL], statusText, () => this.restart());
    this.task = choice(t("Task"), ["", ...tasks.map(({ name }) => name)], taskTitle, () => this.restart());
    const chosen = el("div", { className: "pair", hidden: !filters }, this.status.node, this.task.node);
    this.node = card(title, "stack", chosen, this.problem, this.empty, this.list, this.more);
    this.timer = setInterval(() => document.hidden || this.look(), LOOK_MS);
    this.look();
  }

  restart() {
    this.clear();
    this.look();
  }

  query() {
    return { status: this.status.read(), task: this.only ?? this.task.read(), limit: this.limit };
  }

  async look() {
    const query = this.query();
    try {
      const { jobs, next_page_token } = await client.jobs(query);
      if (this.closed || JSON.stringify(query) !== JSON.stringify(this.query())) return;
      showProblem(this.problem, null);
      this.take(jobs);
      if (!this.token) this.more.hidden = !next_page_token;
      this.token ??= next_page_token;
    } catch (error) {
      showProblem(this.problem, error);
    }
  }

  /** New ones on top; what the list does not have any more stays until the filter changes. */
  take(jobs) {
    for (const job of jobs.toReversed()) {
      const known = this.rows.get(job.id);
      if (known) known.take(job);
      else this.add(job, (row) => this.list.prepend(row.node));
    }
    while (this.list.childElementCount > ROWS) this.drop(this.list.lastElementChild.dataset.job);
    this.empty.hidden = this.rows.size > 0;
    const { status, task } = this.query();
    const sifted = status || (task && task !== this.only);
    say(this.empty, sifted ? t("No job has this status and task.") : t("No jobs yet. Start one: it appears here."));
  }

  drop(id) {
    const row = this.rows.get(id);
    row.close();
    row.node.remove();
    this.rows.delete(id);
  }

  add(job, place) {
    const row = new JobRow(job, this.view);
    this.rows.set(job.id, row);
    place(row);
  }

  async older() {
    this.more.disabled = true;
    try {
      const { jobs, next_page_token } = await client.jobs({ ...this.query(), page_token: this.token });
      if (this.closed) return;
      for (const job of jobs) if (!this.rows.has(job.id)) this.add(job, (row) => this.list.append(row.node));
      this.token = next_page_token;
      this.more.hidden = !next_page_token;
    } catch (error) {
      showProblem(this.problem, error);
    }
    this.more.disabled = false;
  }

  clear() {
    for (const row of this.rows.values()) row.close();
    this.rows.clear();
    this.list.replaceChildren();
    this.token = undefined;
  }

  close() {
    this.closed = true; // an answer may be on its way
    clearInterval(this.timer);
    this.clear();
  }
}

function choice(title, values, titleOf, onchange) {
  const control = el("select", { id: freshId("filter"), onchange });
  control.append(...values.map((each) => el("option", { value: each }, each ? titleOf(each) : t("all"))));
  const node = el("div", { className: "field" }, el("label", { htmlFor: control.id }, title), control);
  return { node, read: () => control.value || undefined };
}

class JobRow {
  constructor(job, view) {
    this.mark = statusMark(job.status);
    this.bar = el("progress", { max: 100, ariaLabel: t("Progress") });
    const link = el("a", { href: `${job.task === "chat" ? "#/chat" : view}/${job.id}` }, taskTitle(job.task));
    this.about = el("span", { className: "hint" });
    this.node = el("li", { data: { job: job.id } }, link, this.mark, this.about, this.bar);
    this.take(job);
  }

  /** A newer state from the list, or from the watch. */
  take(job) {
    if (this.job && job.seq < this.job.seq) return;
    this.job = job;
    const ended = TERMINAL.includes(job.status);
    this.mark.tell(job.status);
    this.bar.hidden = ended || !job.progress.percent;
    this.bar.value = job.progress.percent ?? 0;
    say(this.about, aboutOf(job).join(" · "));
    if (ended) this.close();
    else this.watch ??= this.follow(job);
  }

  follow(job) {
    const onEvent = (event) => {
      if (event.seq) this.take(fold(this.job, event));
    };
    return client.watch(job.id, { after: job.seq, types: TYPES, shared: true, onEvent });
  }

  close() {
    this.watch?.close();
  }
}

/** When it began, how far it is or how long it ran, why it failed, and the end of its id. */
function aboutOf({ id, status, created_at, started_at, finished_at, progress, error }) {
  const ran = started_at && finished_at && (Date.parse(finished_at) - Date.parse(started_at)) / 1000;
  const facts = [
    moment(created_at),
    status === "running" && progress.percent > 0 && percent(progress.percent),
    ran && t("ran {time}", { time: duration(ran) }),
    error && t(error.title ?? error.code),
    `…${id.slice(-6)}`,
  ];
  return facts.filter(Boolean);
}
