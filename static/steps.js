// The checklist of a job, and how far it is.

import { el, say } from "./dom.js";
import { duration, number, t } from "./i18n.js";

const MARKS = { pending: "○", running: "●", completed: "✓", failed: "✕", skipped: "–" };
/** Steps that are shown; of more than that, those around the first that is not over. */
const SHOWN = 200;

export class Steps {
  constructor() {
    this.node = el("ol", { className: "steps", ariaLabel: t("Steps") });
    this.rows = new Map();
  }

  /** Only rows that have changed are made anew. */
  draw(steps) {
    const shown = around(steps);
    if (this.first !== shown[0]?.id) this.clear(shown[0]?.id);
    for (const step of shown) {
      const known = this.rows.get(step.id);
      const look = `${step.status} ${step.duration_s} ${step.title}`;
      if (known?.look === look) continue;
      const row = drawStep(step);
      if (known) known.row.replaceWith(row);
      else this.node.append(row);
      this.rows.set(step.id, { row, look });
    }
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

function drawStep({ title, status, duration_s }) {
  const mark = el("span", { className: "mark", role: "img", ariaLabel: t(status) }, MARKS[status] ?? "○");
  const time = el("span", { className: "hint number" }, duration_s == null ? "" : duration(duration_s));
  return el("li", { data: { status } }, mark, el("span", {}, t(title)), time);
}

/** The progress bar: percent, time left, and whether that is measured or estimated. */
export class Meter {
  constructor() {
    this.bar = el("progress", { max: 100, value: 0, ariaLabel: t("Progress") });
    this.percent = el("span", { className: "number" });
    this.left = el("span", { className: "hint" });
    this.node = el("div", {}, this.bar, el("p", { className: "meter-line" }, this.percent, this.left));
  }

  draw({ percent, eta_s, basis }, ended) {
    this.bar.value = percent ?? 0;
    say(this.percent, `${number(percent ?? 0, 0)} %`);
    const known = !ended && eta_s != null;
    say(this.left, known ? t("about {time} left ({basis})", { time: duration(eta_s), basis: t(basis) }) : "");
  }
}
