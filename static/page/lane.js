// One way to watch the job of a comparison: what comes over it, how late, and what it costs.

import { el, perFrame, say } from "./dom.js";
import { duration, number, size, t, tText } from "./i18n.js";
import { problemBox, showProblem } from "./problem.js";
import { client } from "./session.js";
import { Connection } from "./status.js";
import { fold } from "../client/streaming.js";

/** Delays that are kept for the median. */
const DELAYS = 5000;
/** The transport of a slow reader: the only one of which a page can stop reading. */
const SLOW = "ndjson";
/** A slow reader reads for so long, then rests for so long (ms). */
const READS_MS = 300;
const RESTS_MS = 1200;

/** What each lane tells: its name, and how to say it. */
const FACTS = {
  first: "First sign of life",
  median: "Delay, median",
  longest: "Delay, longest",
  events: "Events",
  bytes: "Bytes",
  requests: "Requests",
  reconnects: "Reconnects",
  lost: "Events lost",
  repeated: "Events repeated",
};

/** The table of facts, and a text: what all lanes have. */
class Lane {
  constructor(title) {
    this.began = performance.now();
    this.delays = [];
    this.facts = Object.fromEntries(
      Object.keys(FACTS).map((name) => [name, el("dd", { data: { fact: name } }, "–")]),
    );
    const rows = Object.entries(FACTS).flatMap(([name, text]) => [el("dt", {}, tText(text)), this.facts[name]]);
    this.said = el("div", { className: "said", tabIndex: 0, role: "region", ariaLabel: t("text") });
    this.connection = new Connection();
    this.controls = el("div", { className: "bar" });
    this.bar = el("progress", { max: 100, value: 0, ariaLabel: t("progress") });
    this.problem = problemBox();
    this.node = el(
      "section",
      { className: "card lane", ariaLabel: title, data: { lane: title } },
      el("header", {}, el("h2", {}, title), this.connection.node),
      this.controls,
      this.bar,
      el("dl", {}, rows),
      this.said,
      this.problem,
    );
    this.redraw = perFrame(() => this.draw());
  }

  tell(name, text, quality = "") {
    say(this.facts[name], text);
    this.facts[name].className = quality;
  }

  delayed(ms) {
    if (this.delays.length < DELAYS) this.delays.push(Math.max(0, ms));
  }

  tellDelays() {
    if (!this.delays.length) return;
    const sorted = this.delays.toSorted((a, b) => a - b);
    this.tell("median", duration(sorted[sorted.length >> 1] / 1000));
    this.tell("longest", duration(sorted.at(-1) / 1000));
  }

  show({ text, progress }) {
    this.bar.value = progress.percent ?? 0;
    if (this.said.textContent.length === text.length) return;
    this.said.textContent = text;
    this.said.scrollTop = this.said.scrollHeight;
  }

  close() {
    this.redraw.cancel();
    this.connection.close();
  }
}

/** A lane that streams: SSE, WebSocket, long polling. */
export class StreamLane extends Lane {
  constructor({ title, transport, job, ended }) {
    super(title);
    this.ended = ended;
    this.id = job;
    this.state = null;
    this.times = []; // when each event was
    this.transport = transport;
    this.slow = el(
      "button",
      { type: "button", className: "small", ariaPressed: "false", onclick: () => this.slowDown() },
      t("slow_reader"),
    );
    this.cutter = el(
      "button",
      { type: "button", className: "small", onclick: () => this.cut() },
      t("cut_connection"),
    );
    this.controls.append(this.cutter, this.slow);
    this.watch = client.watch(job, {
      after: 0,
      transport,
      onEvent: (event) => this.take(event),
      onState: (state) => this.connected(state),
    });
  }

  take(event) {
    this.state = fold(this.state, event);
    if (event.at) this.times.push(Date.parse(event.at));
    if (event.at) this.delayed(Date.now() - this.times.at(-1));
    this.redraw();
  }

  connected(state) {
    this.connection.tell(state);
    this.redraw();
    if (state.name !== "closed") return;
    for (const each of [this.cutter, this.slow]) each.disabled = true;
    clearTimeout(this.timer);
    if (state.problem) showProblem(this.problem, state.problem);
    else this.ended(this);
  }

  draw() {
    const { stats } = this.watch ?? {};
    if (!stats) return;
    if (stats.firstEventMs !== null) this.tell("first", duration(stats.firstEventMs / 1000));
    this.tellDelays();
    this.tell("events", number(stats.events));
    this.tell("bytes", size(stats.bytes));
    this.tell("requests", number(stats.requests));
    this.tell("reconnects", number(stats.reconnects));
    this.tell("lost", number(stats.lost), stats.lost ? "bad" : "good");
    this.tell("repeated", number(stats.repeated), stats.repeated ? "bad" : "good");
    if (this.state) this.show(this.state);
  }

  cut() {
    this.watch.cut();
  }

  offline(is) {
    this.watch.offline(is);
  }

  /** Read a little, rest a while, on and on. */
  slowDown() {
    const slow = this.slow.ariaPressed !== "true";
    this.slow.ariaPressed = String(slow);
    clearTimeout(this.timer);
    if (this.transport === "sse") this.watch.use(slow ? SLOW : "sse");
    if (slow) this.rest();
    else this.watch.resume();
  }

  rest() {
    this.watch.pause();
    this.timer = setTimeout(() => {
      this.watch.resume();
      this.timer = setTimeout(() => this.rest(), READS_MS);
    }, RESTS_MS);
  }

  close() {
    super.close();
    clearTimeout(this.timer);
    this.watch.close();
  }
}

/** The plain request: nothing until the end, and nothing at all when it is cut. */
export class PlainLane extends Lane {
  constructor({ title, request, idempotencyKey, ended }) {
    super(title);
    this.ended = ended;
    this.abort = new AbortController();
    this.cutter = el(
      "button",
      { type: "button", className: "small", onclick: () => this.cut() },
      t("cut_connection"),
    );
    this.controls.append(this.cutter);
    this.connection.tell({ name: "connecting", transport: "plain" });
    this.tell("requests", "1");
    this.tell("reconnects", "0");
    this.run(request, idempotencyKey);
  }

  async run(request, idempotencyKey) {
    try {
      this.state = await client.submit(request, { idempotencyKey, waitS: 300, signal: this.abort.signal });
      this.at = Date.now();
      this.tell("first", duration((performance.now() - this.began) / 1000));
      this.tell("bytes", size(new TextEncoder().encode(JSON.stringify(this.state)).length));
      this.show(this.state);
      this.connection.tell({ name: "closed", transport: "plain" });
      this.ended(this);
    } catch (error) {
      this.lose(error);
    } finally {
      this.cutter.disabled = true;
    }
  }

  /** The other lanes know when each event was: all came here at the end. */
  takeTimes(times) {
    if (!this.at || this.delays.length) return;
    for (const at of times) this.delayed(this.at - at);
    this.tellDelays();
    this.tell("events", number(times.length));
  }

  lose(error) {
    this.connection.tell({ name: "closed", transport: "plain", reason: "lost" });
    const aborted = error.code === "aborted";
    const detail = t("answer_lost_job_goes_but");
    showProblem(this.problem, aborted ? { title: "Cut off", detail } : error);
  }

  draw() {}

  cut() {
    this.abort.abort();
  }

  offline(is) {
    if (is) this.cut();
  }

  close() {
    super.close();
    this.abort.abort();
  }
}
