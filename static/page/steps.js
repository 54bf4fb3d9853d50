// The checklist of a job, and how far it is.

import { el, say } from "./dom.js";
import { duration, percent, t, tText } from "./i18n.js";

const MARKS = { pending: "○", running: "●", completed: "✓", failed: "✕", skipped: "–" };
/** Steps that are shown; of more than that, those around the first that is not over. */
const SHOWN = 200;

export class Steps {
  constructor() {
    this.node = el("ol", { className: "steps", ariaLabel: t("steps") });
    this.rows = new Map();
    this.began = new Map(); // of the running ones: when (ms)
  }

  /** Takes step.updated, for the time of the running ones; leaves all else alone. */
  add({ type, at, data }) {
    if (type !== "step.updated") return;
    if (data.status !== "running") this.began.delete(data.id);
    else if (!this.began.has(data.id)) this.began.set(data.id, Date.parse(at));
  }

  /** Only rows that have changed are made anew. */
  draw(steps) {
    const shown = around(steps);
    if (this.first !== shown[0]?.id) this.clear(shown[0]?.id);
    for (const step of shown) {
      const known = this.rows.get(step.id);
      const look = `${step.status} ${step.title}`;
      const made = known?.look === look ? known : { ...drawStep(step), look };
      if (!known) this.node.append(made.row);
      else if (known !== made) known.row.replaceWith(made.row);
      this.rows.set(step.id, made);
      say(made.time, this.timeOf(step));
    }
  }

  timeOf({ id, status, duration_s }) {
    if (duration_s != null) return duration(duration_s);
    const passed = Math.floor((Date.now() - this.began.get(id)) / 1000);
    return status === "running" && passed > 0 ? duration(passed) : "";
  }

  clear(first) {
    this.first = first;
    this.rows.clear();
    this.node.replaceChildren();
  }
}

function around(steps) {
  if (steps.length <= SHOWN) return steps;
  const open = steps.findIndex(({ status }) => status === "pending" || status === "running");
  const middle = open < 0 ? steps.length : open;
  const from = Math.max(0, Math.min(steps.length - SHOWN, middle - SHOWN / 2));
  return steps.slice(from, from + SHOWN);
}

function drawStep({ title, status }) {
  const mark = el("span", { className: "mark", role: "img", ariaLabel: tText(status) }, MARKS[status] ?? "○");
  const time = el("span", { className: "hint number" });
  return { time, row: el("li", { data: { status } }, mark, el("span", {}, tText(title)), time) };
}

/** The progress bar: percent, time left, and whether that is measured or estimated. */
export class Meter {
  constructor() {
    this.bar = el("progress", { max: 100, value: 0, ariaLabel: t("progress") });
    this.percent = el("span", { className: "number" });
    this.left = el("span", { className: "hint" });
    this.message = el("p", { className: "hint message", hidden: true });
    this.node = el(
      "div",
      { className: "meter" },
      this.bar,
      el("p", { className: "meter-line" }, this.percent, this.left),
      this.message,
    );
  }

  /** Takes job.progress, for the words that a task says with it, until the next step begins. */
  add({ type, data }) {
    if (type === "job.progress") this.said = data.message;
    if (type === "step.updated" && data.status === "running") this.said = null;
  }

  draw({ status, progress: { percent: share, eta_s, basis } }, ended) {
    const unknown = status === "running" && !share;
    this.bar.dataset.status = status;
    if (unknown) this.bar.removeAttribute("value");
    else this.bar.value = share ?? 0;
    say(this.percent, unknown ? "" : percent(share ?? 0));
    const known = !ended && eta_s != null;
    say(this.left, known ? t("about_time_left_basis", { time: duration(eta_s), basis: tText(basis) }) : "");
    this.message.hidden = ended || !this.said;
    say(this.message, this.said ?? "");
  }
}
