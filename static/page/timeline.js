// When what happened: attempts, steps and calls of tools as bars over the job's time.

import { el, say } from "./dom.js";
import { duration, t, tText } from "./i18n.js";

/** Bars that are shown. */
const SHOWN = 100;
const OVER = ["completed", "failed", "skipped"];

export class Timeline {
  constructor() {
    this.node = el("ol", { className: "timeline", ariaLabel: t("timeline") });
    this.spans = new Map();
    this.from = null;
    this.last = null;
  }

  get isEmpty() {
    return this.spans.size < 3; // one attempt with one step says nothing
  }

  /** Takes what begins and ends; of all else the time. */
  add({ type, at, data }) {
    if (!at) return;
    const time = Date.parse(at);
    this.from ??= time;
    this.last = time;
    if (type === "job.started") this.begin(`attempt ${data.attempt}`, "attempt", t("attempt_n", { n: data.attempt }), time);
    if (type === "step.updated" && data.status === "running") this.begin(`step ${data.id}`, "step", tText(data.title), time);
    if (type === "step.updated" && OVER.includes(data.status)) this.end(`step ${data.id}`, time, data.status, data.duration_s);
    if (type === "tool.call") this.begin(`tool ${data.id}`, "tool", data.name, time);
    if (type === "tool.result") this.end(`tool ${data.id}`, time, data.error ? "failed" : "completed", data.duration_s);
    if (/^job\.(completed|failed|cancelled)$/.test(type)) this.endAll(time, type.slice(4));
  }

  begin(id, kind, name, from) {
    if (kind === "attempt") this.endAll(from, "failed");
    if (!this.spans.has(id) && this.spans.size < SHOWN) this.spans.set(id, this.row(kind, name, from));
  }

  row(kind, name, from) {
    const bar = el("span", { className: "bar-of-time" });
    const time = el("span", { className: "hint number" });
    const row = el("li", { data: { kind } }, el("span", { className: "name" }, name), el("span", { className: "track" }, bar), time);
    this.node.append(row);
    return { row, bar, time, from, to: null, took: null };
  }

  /** `took`: the seconds that it says itself, as the checklist has them. */
  end(id, to, status, took = null) {
    const span = this.spans.get(id);
    if (!span || span.to !== null) return;
    Object.assign(span, { to, took });
    span.row.dataset.status = status;
  }

  endAll(to, status) {
    for (const id of this.spans.keys()) this.end(id, to, status);
  }

  draw(ended) {
    if (this.from === null) return;
    const now = ended ? this.last : Date.now();
    const all = Math.max(1, now - this.from);
    for (const { bar, time, from, to, took } of this.spans.values()) {
      const until = to ?? now;
      bar.style.marginInlineStart = `${Math.min(99, (100 * (from - this.from)) / all)}%`;
      bar.style.width = `${Math.max(1, (100 * (until - from)) / all)}%`;
      say(time, duration(took ?? Math.max(0, until - from) / 1000));
    }
  }
}
