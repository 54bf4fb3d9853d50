// The view that compares: one job over every transport, side by side, with the means to disturb
// them; and which transport to pick for what.

import { el, freshId, say } from "./dom.js";
import { duration, number, size, t, tText } from "./i18n.js";
import { PlainLane, StreamLane } from "./lane.js";
import { problemBox, showProblem } from "./problem.js";
import { client } from "./session.js";
import { tabbed } from "./tabbed.js";
import { keep, restore } from "./typed.js";

const PROMPT = "Compare the ways to watch a long job.";

const STREAMS = [
  { title: "Server-Sent Events", transport: "sse" },
  { title: "WebSocket", transport: "websocket" },
  { title: "Long polling", transport: "poll" },
];
const PLAIN = "Plain request";

/** What the table of traits shows, of all that the server tells. */
const TRAITS = {
  timeliness: "Timeliness",
  complexity: "Complexity",
  resource_cost: "Cost",
  proxies: "Behind proxies",
  weak_networks: "On weak networks",
  use_for: "Use it for",
  not_for: "Not for",
};

export class CompareView {
  constructor() {
    this.lanes = [];
    this.tokens = el("input", { id: freshId("tokens"), type: "number", min: "1", max: "5000", value: "240" });
    this.speed = el("input", { id: freshId("speed"), type: "number", min: "1", max: "1000", value: "30" });
    this.button = el("button", { className: "main" }, t("start_the_comparison"));
    this.cut = el(
      "button",
      { type: "button", disabled: true, onclick: () => this.cutAll() },
      t("cut_all_connections"),
    );
    this.offline = el(
      "button",
      { type: "button", disabled: true, ariaPressed: "false", onclick: () => this.goOffline() },
      t("offline"),
    );
    this.problem = problemBox();
    this.result = el("p", { className: "result", role: "status" });
    this.place = el(
      "div",
      { className: "lanes" },
      el(
        "p",
        { className: "empty" },
        t(
          "start_then_cut_connections_slow",
        ),
      ),
    );
    this.tables = el("div", { className: "stack" });
    this.node = el("div", { className: "stack" }, this.drawHead(), this.place, this.tables);
    restore("comparison", this.node);
    this.decide();
  }

  drawHead() {
    const field = (label, control) =>
      el("div", { className: "field" }, el("label", { htmlFor: control.id }, tText(label)), control);
    const form = el(
      "form",
      { className: "line-form narrow" },
      field("Tokens", this.tokens),
      field("Tokens per second", this.speed),
      this.button,
      this.cut,
      this.offline,
    );
    form.onsubmit = (event) => {
      event.preventDefault();
      this.start();
    };
    return el(
      "section",
      { className: "card stack", ariaLabel: t("compare") },
      el("h1", {}, t("one_job_every_transport")),
      el(
        "p",
        { className: "intro" },
        t(
          "same_job_watched_over_each",
        ),
      ),
      form,
      this.result,
      this.problem,
    );
  }

  async start() {
    this.button.disabled = true;
    this.release ??= await turn();
    if (!this.release) {
      showProblem(this.problem, { message: t("another_tab_compares") });
      this.button.disabled = false;
      return;
    }
    this.closeLanes();
    showProblem(this.problem, null);
    say(this.result, "");
    const input = {
      prompt: PROMPT,
      max_tokens: Number(this.tokens.value),
      tokens_per_s: Number(this.speed.value),
    };
    const request = { task: "generate", input };
    const idempotencyKey = `compare-${Date.now()}-${Math.random()}`;
    try {
      const job = await client.submit(request, { idempotencyKey });
      this.open(job, request, idempotencyKey);
    } catch (error) {
      showProblem(this.problem, error);
    } finally {
      this.button.disabled = false;
    }
  }

  open(job, request, idempotencyKey) {
    const ended = () => this.compare();
    this.streams = STREAMS.map(
      ({ title, transport }) => new StreamLane({ title: tText(title), transport, job: job.id, ended }),
    );
    this.plain = new PlainLane({ title: tText(PLAIN), request, idempotencyKey, ended });
    this.lanes = [...this.streams, this.plain];
    this.place.replaceChildren(...this.lanes.map((each) => each.node));
    this.offline.ariaPressed = "false";
    for (const each of [this.cut, this.offline]) each.disabled = false;
  }

  /** All streams have ended: are their texts the same? */
  compare() {
    if (!this.streams.every((each) => each.watch?.ended)) return;
    for (const each of [this.cut, this.offline]) each.disabled = true;
    this.letGo();
    const texts = this.streams.map((each) => each.state.text);
    const same = texts.every((each) => each === texts[0]);
    const characters = number(texts[0].length);
    say(
      this.result,
      same ? t("all_streams_gave_same_text", { n: characters }) : t("the_texts_differ"),
    );
    this.result.className = same ? "result good" : "result bad";
    this.plain.takeTimes(this.streams[0].times);
  }

  cutAll() {
    for (const each of this.lanes) each.cut();
  }

  goOffline() {
    const is = this.offline.ariaPressed !== "true";
    this.offline.ariaPressed = String(is);
    for (const each of this.lanes) each.offline(is);
  }

  /** The server's own advice, and what it has measured. */
  async decide() {
    try {
      const { transports, needs } = await client.transports();
      const titles = new Map(transports.map(({ name, title }) => [name, tText(title)]));
      const advice = needs.map(({ need, pick, why }) => [tText(need), titles.get(pick) ?? pick, tText(why)]);
      const measured = transports.map(({ title, measured: m }) => [
        tText(title),
        duration(m.first_feedback_s),
        duration(m.delay_p50_ms / 1000),
        size(m.bytes_per_1000_events),
        number(m.requests_per_1000_events, 0),
        duration(m.cpu_ms_per_1000_events / 1000),
      ]);
      const traits = Object.entries(TRAITS).map(([name, title]) => [
        tText(title),
        ...transports.map((each) => tText(each[name])),
      ]);
      this.tables.replaceChildren(tabbed(t("about_the_transports"), [
        table(t("which_one_for_what"), [t("need"), t("pick"), t("why")], advice),
        table(
          t("measured_service_per_1000_events"),
          [
            t("transport"),
            t("first_sign_of_life"),
            t("delay_median"),
            t("bytes"),
            t("requests"),
            t("server_cpu"),
          ],
          measured,
          { short: t("measured"), numeric: true },
        ),
        table(t("in_words"), ["", ...titles.values()], traits),
      ]));
    } catch (error) {
      this.tables.replaceChildren(problemBox(error));
    }
  }

  /** Other tabs may compare. */
  letGo() {
    this.release?.();
    this.release = null;
  }

  closeLanes() {
    for (const each of this.lanes) each.close();
    this.lanes = [];
  }

  close() {
    keep("comparison", this.node);
    this.closeLanes();
    this.letGo();
  }
}

/** A panel: its title, short for its tab, and a table under the whole title. */
function table(title, head, rows, { short = title, numeric = false } = {}) {
  const kind = (column) => (numeric && column > 0 ? "number" : "");
  const top = el(
    "tr",
    {},
    head.map((each, column) => (each ? el("th", { scope: "col", className: kind(column) }, each) : el("td"))),
  );
  const lines = rows.map(([first, ...rest]) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, first),
      rest.map((each, column) => el("td", { className: kind(column + 1) }, each)),
    ),
  );
  const made = el("table", {}, el("thead", {}, top), el("tbody", {}, lines));
  const box = el("div", { className: "scroll tall", tabIndex: 0, role: "group", ariaLabel: title }, made);
  return [short, box];
}

/**
 * Lanes have connections of their own, three of the six that a browser allows to a server: one tab at a time compares.
 * What lets the others go on; null while one of them does.
 */
function turn() {
  if (!navigator.locks) return () => {};
  return new Promise((resolve) => {
    navigator.locks.request("comparison", { ifAvailable: true }, (lock) =>
      lock ? new Promise((release) => resolve(release)) : resolve(null));
  });
}
