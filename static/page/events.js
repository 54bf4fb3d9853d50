// The raw events of a job: a list of any length of which only what is seen is in the page, with a
// filter, one event in full, and all of them to save.

import { el, perFrame, save } from "./dom.js";
import { clock, number, t } from "./i18n.js";

/** Pixels of a row, as in page.css; events kept; rows made beyond the edges. */
const ROW = 24;
const KEPT = 20_000;
const BEYOND = 6;
/** Pixels from the end at which the list still follows what comes. */
const NEAR_END = 40;
const CHOSEN = "chosen-event";

export class Events {
  /** `all()` gives every event of the job anew, for when the first ones are not kept any more. */
  constructor(all) {
    this.all = all;
    this.kept = [];
    this.shown = []; // those that pass the filter
    this.dropped = 0;
    this.follows = true;
    this.filter = el("input", {
      type: "search",
      placeholder: t("filter_type_or_text"),
      ariaLabel: t("filter_the_events"),
    });
    this.count = el("span", { className: "hint number" });
    this.list = el("ol", { role: "none" });
    this.room = el("div", { className: "room" }, this.list);
    this.window = el(
      "div",
      { className: "window", tabIndex: 0, role: "listbox", ariaLabel: t("raw_events") },
      this.room,
    );
    this.one = el("pre", { className: "one-event", tabIndex: 0, hidden: true });
    this.export = el("button", { type: "button" }, t("save_as_ndjson"));
    const bar = el(
      "div",
      { className: "bar" },
      this.filter,
      this.count,
      el("span", { className: "end" }, this.export),
    );
    this.node = el("div", { className: "events" }, bar, this.window, this.one);
    this.redraw = perFrame(() => this.draw());
    this.watcher = new ResizeObserver(this.redraw);
    this.watcher.observe(this.window);
    this.filter.oninput = () => this.sift();
    this.window.onscroll = () => this.scrolled();
    this.window.onkeydown = (event) => this.pressed(event);
    this.list.onclick = (event) => this.choose(Number(event.target.closest("li")?.dataset.index));
    this.export.onclick = () => this.saveAll();
  }

  add(event) {
    this.kept.push(event);
    if (this.passes(event)) this.shown.push(event);
    if (this.kept.length > KEPT + KEPT / 10) this.drop();
    this.redraw();
  }

  /** A tenth at once, because each time costs as much as there are. */
  drop() {
    this.dropped += this.kept.length - KEPT;
    this.kept = this.kept.slice(-KEPT);
    this.sift();
  }

  passes(event) {
    const wanted = this.filter.value.trim().toLowerCase();
    return (
      wanted === "" ||
      event.type.includes(wanted) ||
      JSON.stringify(event.data).toLowerCase().includes(wanted)
    );
  }

  sift() {
    this.shown = this.kept.filter((each) => this.passes(each));
    this.redraw();
  }

  scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.window;
    this.follows = scrollHeight - scrollTop - clientHeight < NEAR_END;
    this.redraw();
  }

  draw() {
    this.count.textContent =
      this.shown.length === this.kept.length
        ? t("n_events", { n: number(this.kept.length + this.dropped) })
        : t("n_of_all_events", { n: number(this.shown.length), all: number(this.kept.length) });
    if (!this.window.clientHeight) return;
    this.room.style.height = `${this.shown.length * ROW}px`;
    if (this.follows) this.window.scrollTop = this.window.scrollHeight;
    const first = Math.max(0, Math.floor(this.window.scrollTop / ROW) - BEYOND);
    const rows = this.shown.slice(first, first + Math.ceil(this.window.clientHeight / ROW) + 2 * BEYOND);
    this.list.style.top = `${first * ROW}px`;
    this.list.replaceChildren(
      ...rows.map((event, index) => row(event, first + index, event === this.chosen)),
    );
    this.window.setAttribute("aria-activedescendant", rows.includes(this.chosen) ? CHOSEN : "");
  }

  pressed(event) {
    const at = this.shown.indexOf(this.chosen);
    const last = this.shown.length - 1;
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.choose(Math.max(0, Math.min(to, last)));
  }

  /** Show the event at this place of the list in full, and the place itself. */
  choose(index) {
    const event = this.shown[index];
    if (!event) return;
    this.chosen = event;
    this.one.hidden = false;
    this.one.textContent = JSON.stringify(event, null, 2);
    const lowest = index * ROW;
    const highest = lowest + ROW - this.window.clientHeight;
    this.window.scrollTop = Math.min(lowest, Math.max(highest, this.window.scrollTop));
    this.redraw();
  }

  async saveAll() {
    this.export.disabled = true;
    try {
      const events = this.dropped || this.kept[0]?.seq !== 1 ? await this.all() : this.kept;
      save(
        events.map((each) => `${JSON.stringify(each)}\n`).join(""),
        "events.ndjson",
        "application/x-ndjson",
      );
    } finally {
      this.export.disabled = false;
    }
  }

  close() {
    this.watcher.disconnect();
    this.redraw.cancel();
  }
}

function row(event, index, chosen) {
  const seq = event.from ? `${event.from}–${event.seq}` : `${event.seq ?? "·"}`;
  const data = JSON.stringify(event.data);
  const text = data.length > 240 ? `${data.slice(0, 239)}…` : data;
  const time = event.at ? clock(event.at) + event.at.slice(19, 23) : "";
  const about = { role: "option", ariaSelected: String(chosen), id: chosen ? CHOSEN : null, data: { index } };
  return el("li", about, el("b", {}, seq), " ", el("time", {}, time), " ", el("i", {}, event.type), " ", text);
}
