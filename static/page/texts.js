// The texts of a job, item by item, as they grow.

import { copyButton, saveButton } from "./copying.js";
import { el, perFrame } from "./dom.js";
import { t, tText } from "./i18n.js";
import { Prose } from "./prose.js";

/** Items that are on the page; of a long conversation the newest. */
const ITEMS = 100;

export class Texts {
  constructor() {
    this.node = el("div");
    this.items = new Map();
    this.follows = false;
    this.latest = el("button", { type: "button", className: "jump", hidden: true, onclick: () => this.follow() }, `↓ ${t("jump_to_the_latest")}`);
    this.end = el("div", { className: "text-end" });
    this.node.append(this.end);
    const whole = () => this.job?.text ?? "";
    this.actions = [copyButton(whole), saveButton(whole, "text.md", "text/markdown")];
    document.body.append(this.latest);
    addEventListener("scroll", this.scrolled, { passive: true });
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
    this.growing = !ended;
    if (this.follows && !ended) this.toEnd();
    this.offerLatest();
    if (waits) this.again();
  }

  /** Keep the newest words in view, until the reader scrolls up. */
  follow() {
    this.follows = true;
    this.toEnd();
  }

  toEnd() {
    this.end.scrollIntoView({ block: "end" });
    this.seenAt = scrollY;
  }

  scrolled = () => {
    if (this.follows && scrollY < this.seenAt - 4) this.follows = false;
    this.seenAt = scrollY;
    this.offerLatest();
  };

  offerLatest() {
    const below = this.end.getBoundingClientRect().bottom > innerHeight + 40;
    this.latest.hidden = !this.growing || this.follows || !below;
  }

  make(item, job) {
    const prose = new Prose();
    const step = job.steps.find((each) => each.id === item);
    const title = job.texts.length > 1 || step ? el("h3", {}, tText(step?.title ?? item)) : null;
    const box = el("article", { className: "item", data: { item } }, title, prose.node);
    this.end.before(box);
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
    this.latest.remove();
    removeEventListener("scroll", this.scrolled);
  }
}
