// The view of one job: all that it does, from its log, live.

import { Activity } from "./activity.js";
import { Alerts } from "./alerts.js";
import { Artifacts } from "./artifacts.js";
import { announce } from "./announce.js";
import { el, perFrame, say } from "./dom.js";
import { Events } from "./events.js";
import { duration, t } from "./i18n.js";
import { Metrics } from "./metrics.js";
import { problemBox, showProblem } from "./problem.js";
import { Question } from "./question.js";
import { client, taskTitle } from "./session.js";
import { keepDraft } from "./start.js";
import { Connection, TERMINAL, statusMark, statusText } from "./status.js";
import { Meter, Steps } from "./steps.js";
import { fold } from "./streaming.js";
import { Texts } from "./texts.js";
import { Viewers } from "./viewers.js";

export class JobView {
  constructor(id) {
    this.id = id;
    this.job = null;
    this.parts = {
      question: new Question(id),
      texts: new Texts(),
      artifacts: new Artifacts(),
      activity: new Activity(),
      metrics: new Metrics(),
      alerts: new Alerts(),
      steps: new Steps(),
      meter: new Meter(),
      viewers: new Viewers(id),
      events: new Events(() => this.wholeLog()),
      connection: new Connection(),
    };
    this.node = this.build();
    this.redraw = perFrame(() => this.draw());
    this.watch = client.watch(id, {
      after: 0,
      onEvent: (event) => this.take(event),
      onState: (state) => this.connected(state),
    });
  }

  build() {
    const {
      question,
      texts,
      artifacts,
      activity,
      metrics,
      alerts,
      steps,
      meter,
      viewers,
      events,
      connection,
    } = this.parts;
    this.title = el("h1", { tabIndex: -1 }, t("Job"));
    this.mark = statusMark("queued");
    this.facts = el("p", { className: "hint" }, el("code", {}, this.id));
    this.problem = problemBox();
    this.cancel = el(
      "button",
      { type: "button", className: "danger", onclick: () => this.askCancel() },
      t("Cancel"),
    );
    this.again = el(
      "button",
      { type: "button", hidden: true, onclick: () => this.runAgain() },
      t("Run again"),
    );
    const head = el(
      "header",
      { className: "bar" },
      this.title,
      this.mark,
      connection.node,
      el("span", { className: "end bar" }, this.again, this.cancel),
    );
    this.cards = {
      texts: card(t("Text"), texts.node),
      artifacts: card(t("Artifacts"), artifacts.node),
      activity: card(t("Thinking and tools"), activity.node),
      metrics: card(t("Metrics"), metrics.node),
      alerts: card(t("Alerts"), alerts.node, "card first"),
      output: card(
        t("Output"),
        (this.result = el(
          "details",
          {},
          el("summary", {}, "JSON"),
          (this.output = el("pre", { className: "one-event", tabIndex: 0 })),
        )),
      ),
    };
    const {
      texts: text,
      artifacts: made,
      activity: doing,
      metrics: figures,
      alerts: warnings,
      output,
    } = this.cards;
    const progress = el(
      "section",
      { className: "card first", ariaLabel: t("Progress") },
      el("h2", {}, t("Progress")),
      meter.node,
      steps.node,
    );
    const watching = el(
      "section",
      { className: "card last", ariaLabel: t("Viewers") },
      el("h2", {}, t("Viewers")),
      viewers.node,
    );
    const log = el(
      "section",
      { className: "card", ariaLabel: t("Event log") },
      el("h2", {}, t("Event log")),
      events.node,
    );
    const main = el("div", { className: "stack" }, question.node, text, figures, doing, made, output);
    const side = el("div", { className: "stack" }, progress, warnings, watching);
    return el(
      "div",
      { className: "stack" },
      el("div", {}, head, this.facts),
      this.problem,
      el("div", { className: "columns job" }, main, side),
      log,
    );
  }

  take(event) {
    const { events, activity, metrics, alerts } = this.parts;
    events.add(event);
    this.job = event.type === "stream.snapshot" ? event.data.job : fold(this.job, event);
    if (event.type === "job.queued") this.input = event.data.input;
    if (event.type === "metric") metrics.add(event);
    if (event.type === "alert") alerts.add(event);
    activity.add(event);
    this.announce(event);
    this.entitle();
    this.redraw();
  }

  /** For those who listen: steps and ends, no tokens. */
  announce({ type, data }) {
    if (type === "step.updated" && data.status !== "pending") announce(`${t(data.title)}: ${t(data.status)}`);
    if (type === "input.requested") announce(`${t("The job asks")}: ${data.prompt}`);
    if (type === "alert") announce(`${t("Alert")}: ${data.message}`);
    if (type.startsWith("job.") && TERMINAL.includes(type.slice(4))) announce(t(type.slice(4)));
  }

  connected(state) {
    this.parts.connection.tell(state);
    if (state.reason === "refused" && state.problem) {
      showProblem(this.problem, state.problem);
      this.node.dataset.refused = "";
    }
  }

  /** The tab tells how far the job is, also where it is not seen and nothing is drawn. */
  entitle() {
    const { status, progress, task } = this.job;
    const state = TERMINAL.includes(status) ? statusText(status) : `${Math.round(progress.percent)} %`;
    const title = `${state} · ${taskTitle(task)}`;
    if (document.title !== title) document.title = title;
  }

  draw() {
    const { job, parts, cards } = this;
    if (!job) return;
    const ended = TERMINAL.includes(job.status);
    say(this.title, taskTitle(job.task));
    this.mark.tell(job.status);
    this.cancel.hidden = ended;
    this.cancel.disabled = job.status === "cancelling";
    this.again.hidden = !ended || this.input === undefined;
    this.drawFacts(job);
    if (job.error) showProblem(this.problem, job.error);
    parts.meter.draw(job.progress, ended);
    parts.steps.draw(job.steps);
    parts.question.draw(job.input_request);
    parts.texts.draw(job);
    parts.artifacts.draw(job.artifacts);
    cards.texts.hidden = !job.texts.length && ended;
    cards.artifacts.hidden = !job.artifacts.length;
    for (const name of ["activity", "metrics", "alerts"]) cards[name].hidden = parts[name].isEmpty;
    this.drawOutput(job);
    if (ended) parts.viewers.close();
  }

  drawFacts(job) {
    const facts = [
      this.id,
      job.attempt > 1 && t("attempt {n}", { n: job.attempt }),
      job.queue_position && t("place {n} in the queue", { n: job.queue_position }),
      job.degraded && t("with less work, because the server was loaded"),
      this.watch.degraded.level > 0 && t("thinned out: {why}", { why: this.watch.degraded.why }),
      job.started_at &&
        job.finished_at &&
        t("ran {time}", {
          time: duration((Date.parse(job.finished_at) - Date.parse(job.started_at)) / 1000),
        }),
    ];
    say(this.facts, facts.filter(Boolean).join(" · "));
  }

  /** What is not shown elsewhere: an output that is no text. */
  drawOutput({ output, text }) {
    const repeats = output && Object.keys(output).length === 1 && output.text === text;
    this.cards.output.hidden = output == null || repeats;
    if (this.cards.output.hidden || this.output.textContent) return;
    this.output.textContent = JSON.stringify(output, null, 2);
    this.result.open = !text; // a text most often says the same
  }

  async askCancel() {
    this.cancel.disabled = true;
    try {
      await client.cancel(this.id);
    } catch (error) {
      this.cancel.disabled = false;
      showProblem(this.problem, error);
    }
  }

  runAgain() {
    keepDraft(this.job.task, this.input);
    location.hash = "#/";
  }

  /** Every event up to now. */
  async wholeLog() {
    const events = [];
    const last = this.watch.position;
    for await (const event of client.watch(this.id, { after: 0, transport: "poll" })) {
      events.push(event);
      if (event.seq >= last) break;
    }
    return events;
  }

  close() {
    this.watch.close();
    this.redraw.cancel();
    for (const each of Object.values(this.parts)) each.close?.();
  }
}

function card(title, content, className = "card") {
  return el("section", { className, ariaLabel: title, hidden: true }, el("h2", {}, title), content);
}
