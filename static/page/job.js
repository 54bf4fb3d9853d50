// The view of one job: all that it does, from its log, live.

import { Activity } from "./activity.js";
import { Alerts } from "./alerts.js";
import { Artifacts } from "./artifacts.js";
import { askedCard } from "./asked.js";
import { announce } from "./announce.js";
import { card, el, say } from "./dom.js";
import { Events } from "./events.js";
import { duration, number, t, tText } from "./i18n.js";
import { Logs } from "./logs.js";
import { Metrics } from "./metrics.js";
import { showProblem } from "./problem.js";
import { Question } from "./question.js";
import { client, rawTitle, titleOf, writtenBySimulated } from "./session.js";
import { simulatedBadge } from "./simulated.js";
import { keepDraft } from "./start.js";
import { TERMINAL } from "./status.js";
import { Meter, Steps } from "./steps.js";
import { Texts } from "./texts.js";
import { Timeline } from "./timeline.js";
import { Viewers } from "./viewers.js";
import { WatchedJob } from "./watched.js";

/** What stands in place of an output while there is none, by the job's status. */
const QUIET = {
  queued: "It is queued, and starts as soon as there is room.",
  running: "It is running. What it makes appears here.",
  completed: "It ended without an output.",
  failed: "It failed before it made anything.",
  cancelled: "It was cancelled before it made anything.",
};

export class JobView {
  constructor(id) {
    this.id = id;
    this.parts = {
      question: new Question(id),
      texts: new Texts(),
      artifacts: new Artifacts(),
      activity: new Activity(),
      metrics: new Metrics(),
      alerts: new Alerts(),
      logs: new Logs(),
      timeline: new Timeline(),
      steps: new Steps(),
      meter: new Meter(),
      viewers: new Viewers(id),
      events: new Events(() => this.wholeLog()),
    };
    this.job = new WatchedJob(id, {
      take: (event) => this.take(event),
      draw: (state) => this.draw(state),
    });
    this.node = this.build();
  }

  build() {
    const { question, texts, artifacts, activity, metrics, alerts, logs, timeline, steps, meter, viewers, events } = this.parts;
    this.title = el("h1", { tabIndex: -1 }, t("job"));
    this.about = el("span");
    const facts = el("p", { className: "hint facts-line" }, el("code", {}, this.id), this.about);
    this.cancel = el(
      "button",
      { type: "button", className: "danger", hidden: true, onclick: () => this.askCancel() },
      t("cancel"),
    );
    this.again = el(
      "button",
      { type: "button", hidden: true, onclick: () => this.runAgain() },
      t("run_again"),
    );
    this.change = el("button", { type: "button", hidden: true, onclick: () => this.editAndRun() }, t("change_and_run"));
    this.question = el("div", { hidden: true });
    this.simulated = el("div", { hidden: true }, simulatedBadge());
    this.output = el("div");
    this.quiet = el("p", { className: "empty" });
    this.cards = {
      texts: el("section", { className: "card", ariaLabel: t("text") },
        el("header", { className: "bar" }, el("h2", {}, t("text")), el("span", { className: "end bar" }, texts.actions)),
        texts.node),
      metrics: card(t("metrics"), "", metrics.node),
      activity: card(t("thinking_and_tools"), "", activity.node),
      artifacts: card(t("artifacts"), "", artifacts.node),
      output: card(t("output"), "", this.output),
      timeline: card(t("timeline"), "", timeline.node),
      logs: card(t("logs_and_errors"), "", logs.node),
    };
    this.watching = card(t("viewers"), "last", viewers.node);
    this.warnings = card(t("alerts"), "first", alerts.node);
    const main = el("div", { className: "stack" }, question.node, this.quiet, Object.values(this.cards));
    const side = el(
      "div",
      { className: "stack" },
      card(t("progress"), "first", meter.node, steps.node),
      this.warnings,
      this.watching,
    );
    this.content = el(
      "div",
      { className: "stack", hidden: true },
      el("div", { className: "columns job" }, main, side),
      card(t("event_log"), "", events.node),
    );
    return el(
      "div",
      { className: "stack" },
      el("div", { className: "job-head" }, this.job.header(this.title, this.change, this.again, this.cancel), facts,
        el("div", { className: "bar" }, this.simulated, this.job.disconnecting.button, this.job.disconnecting.said)),
      this.job.away,
      this.question,
      this.job.problem,
      this.content,
    );
  }

  take(event) {
    if (event.type === "job.queued") this.wanted = event.data;
    if (event.type === "job.cancelled") this.reason = event.data.reason;
    for (const name of ["events", "activity", "metrics", "alerts", "logs", "timeline", "steps", "meter"])
      this.parts[name].add(event);
    this.announce(event);
  }

  /** For those who listen: steps and ends, no tokens. */
  announce({ type, data }) {
    if (type === "step.updated" && data.status !== "pending") announce(`${tText(data.title)}: ${tText(data.status)}`);
    if (type === "input.requested") announce(`${t("the_job_asks")}: ${data.prompt}`);
    if (type === "alert") announce(`${t("alert")}: ${data.message}`);
    if (type.startsWith("job.") && TERMINAL.includes(type.slice(4))) announce(tText(type.slice(4)));
  }

  draw(state) {
    const { parts, cards } = this;
    const { ended } = this.job;
    this.content.hidden = false;
    say(this.title, titleOf(state));
    this.drawAsked(state);
    this.simulated.hidden = !writtenBySimulated(state);
    this.cancel.hidden = ended;
    this.cancel.disabled = state.status === "cancelling";
    this.again.hidden = this.change.hidden = !ended || this.wanted === undefined;
    say(this.about, this.facts(state).map((each) => ` · ${each}`).join(""));
    parts.meter.draw(state, ended);
    parts.steps.draw(state.steps);
    parts.question.draw(state.input_request);
    parts.texts.draw(state);
    parts.artifacts.draw(state.artifacts);
    cards.texts.hidden = !state.texts.length;
    cards.artifacts.hidden = !state.artifacts.length;
    parts.timeline.draw(ended);
    for (const name of ["activity", "metrics", "logs", "timeline"]) cards[name].hidden = parts[name].isEmpty;
    this.warnings.hidden = parts.alerts.isEmpty;
    this.drawOutput(state);
    const made = Object.entries(cards).some(([name, each]) => !each.hidden && !["logs", "timeline"].includes(name));
    this.quiet.hidden = !QUIET[state.status] || made;
    say(this.quiet, tText(QUIET[state.status] ?? ""));
    this.watching.hidden = ended;
    if (ended) parts.viewers.close();
  }

  /** What was asked: whole, where the log has its beginning; else as the state shows it. */
  drawAsked(state) {
    const asked = this.wanted?.input ?? state.input;
    if (this.shownInput === asked || !asked) return;
    this.shownInput = asked;
    const shown = askedCard(asked, titleOf(state));
    this.question.hidden = shown === null;
    this.question.replaceChildren(...(shown ? [shown] : []));
  }

  facts(state) {
    const { attempt, queue_position, degraded, started_at, finished_at } = state;
    const { level, why } = this.job.watch.degraded;
    const passed = (Date.parse(finished_at ?? new Date()) - Date.parse(started_at)) / 1000;
    const time = duration(finished_at ? passed : Math.max(1, Math.floor(passed)));
    const facts = [
      attempt > 1 && t("attempt_n", { n: attempt }),
      queue_position > 0 && t("place_n_queue", { n: queue_position }),
      degraded && t("less_work_because_server_was"),
      state.cut && t("text_not_whole"),
      level > 0 && t("larger_steps_because_server_busy", { why }),
      started_at && t(finished_at ? "ran_time" : "running_for_time", { time }),
      this.reason && t("reason_why", { why: this.reason }),
    ];
    return facts.filter(Boolean);
  }

  /** What is not shown elsewhere: an output that is no text. */
  drawOutput({ output, text }) {
    const repeats = output && Object.keys(output).length === 1 && output.text === text;
    this.cards.output.hidden = output == null || repeats;
    if (this.cards.output.hidden || this.output.hasChildNodes()) return;
    this.output.append(isFlat(output) ? factsOf(output) : jsonOf(output, !text)); // a text most often says the same
  }

  async askCancel() {
    this.cancel.disabled = true;
    try {
      await client.cancel(this.id);
    } catch (error) {
      this.cancel.disabled = false;
      showProblem(this.job.problem, error);
    }
  }

  /** The same once more, as another job. */
  async runAgain() {
    const { task, title, input, metadata, on_disconnect, disconnect_grace_s, timeout_s } = this.wanted;
    const own = title === task || title === rawTitle(task) ? {} : { title };
    this.again.disabled = true;
    try {
      const asked = { task, ...own, input, metadata, on_disconnect, disconnect_grace_s, timeout_s };
      const job = await client.submit(asked, { idempotencyKey: crypto.randomUUID?.() });
      location.hash = `#/jobs/${job.id}`;
    } catch (error) {
      showProblem(this.job.problem, error);
    }
    this.again.disabled = false;
  }

  editAndRun() {
    keepDraft(this.wanted.task, this.wanted.input);
    location.hash = "#/";
  }

  /** Every event up to now. */
  async wholeLog() {
    const events = [];
    const last = this.job.watch.position;
    for await (const event of client.watch(this.id, { after: 0, transport: "poll" })) {
      events.push(event);
      if (event.seq >= last) break;
    }
    return events;
  }

  close() {
    this.job.close();
    for (const each of Object.values(this.parts)) each.close?.();
  }
}

const isPlain = (value) => value === null || typeof value !== "object";
const isFlat = (output) =>
  !isPlain(output) &&
  Object.keys(output).length > 0 &&
  Object.values(output).every((each) => isPlain(each) || (Array.isArray(each) && each.every(isPlain)));

function factsOf(output) {
  const rows = Object.entries(output).flatMap(([name, value]) => [
    el("dt", {}, el("code", {}, name)),
    el("dd", {}, [value].flat().map(plainly).join(", ") || "–"),
  ]);
  return el("dl", { className: "facts" }, rows);
}

const plainly = (value) => (typeof value === "number" ? number(value, 4) : String(value));

const jsonOf = (output, open) =>
  el(
    "details",
    { open },
    el("summary", {}, "JSON"),
    el("pre", { className: "one-event", tabIndex: 0 }, JSON.stringify(output, null, 2)),
  );
