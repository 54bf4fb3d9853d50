// The texts of a job, item by item, as they grow.

import { el, perFrame } from "./dom.js";
import { t } from "./i18n.js";
import { Prose } from "./prose.js";

/** Items that are on the page; of a long conversation the newest. */
const ITEMS = 100;

export class Texts {
  constructor() {
    this.node = el("div");
    this.items = new Map();
    this.again = perFrame(() => this.draw(this.job));
  }

  /** Show what is new; comes back by itself for what is not rendered yet. */
  draw(job) {
    this.job = job;
    const ended = job.finished_at != null;
    let waits = false;
    for (const { item, text } of job.texts.slice(-ITEMS)) {
      const { prose } = this.items.get(item) ?? this.make(item, job);
      if (prose.text === text && !prose.unsettled) continue;
      prose.show(text, ended);
      waits ||= prose.unsettled;
    }
    this.node.classList.toggle("writing", !ended);
    if (!ended) this.node.classList.add("roomy"); // also at its end: nothing shall jump
    if (waits) this.again();
  }

  make(item, job) {
    const prose = new Prose();
    const step = job.steps.find((each) => each.id === item);
    const title = job.texts.length > 1 || step ? el("h3", {}, t(step?.title ?? item)) : null;
    const box = el("article", { className: "item", data: { item } }, title, prose.node);
    this.node.append(box);
    const made = { prose, box };
    this.items.set(item, made);
    if (this.items.size > ITEMS) {
      const [oldest, { box: old }] = this.items.entries().next().value;
      old.remove();
      this.items.delete(oldest);
    }
    return made;
  }

  close() {
    this.again.cancel();
  }
}
