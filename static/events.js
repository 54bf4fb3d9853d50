// The raw events of a job: a list of any length of which only what is seen is in the page, with a
// filter, one event in full, and all of them to save.

import { el, perFrame, save } from "./dom.js";
import { clock, t } from "./i18n.js";

/** Pixels of a row, as in page.css; events kept; rows made beyond the edges. */
const ROW = 24;
const KEPT = 20_000;
const BEYOND = 6;
/** Pixels from the end at which the list still follows what comes. */
const NEAR_END = 40;

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
      placeholder: t("Filter: type or text"),
      ariaLabel: t("Filter the events"),
    });
    this.count = el("span", { className: "hint number" });
    this.list = el("ol");
    this.room = el("div", { className: "room" }, this.list);
    this.window = el(
      "div",
      { className: "window", tabIndex: 0, role: "region", ariaLabel: t("Raw events") },
      this.room,
    );
    this.one = el("pre", { className: "one-event", tabIndex: 0, hidden: true });
    this.export = el("button", { type: "button" }, t("Save as NDJSON"));
    const bar = el(
      "div",
      { className: "bar" },
      this.filter,
      this.count,
      el("span", { className: "end" }, this.export),
    );
    this.node = el("div", { className: "events" }, bar, this.window, this.one);
    this.redraw = perFrame(() => this.draw());
    this.filter.oninput = () => this.sift();
    this.window.onscroll = () => this.scrolled();
    this.list.onclick = (event) => this.open(event.target.closest("li"));
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
        ? t("{n} events", { n: this.kept.length + this.dropped })
        : t("{n} of {all} events", { n: this.shown.length, all: this.kept.length });
    if (!this.window.clientHeight) return;
    this.room.style.height = `${this.shown.length * ROW}px`;
    if (this.follows) this.window.scrollTop = this.window.scrollHeight;
    const first = Math.max(0, Math.floor(this.window.scrollTop / ROW) - BEYOND);
    const rows = this.shown.slice(first, first + Math.ceil(this.window.clientHeight / ROW) + 2 * BEYOND);
    this.list.style.top = `${first * ROW}px`;
    this.list.replaceChildren(...rows.map((event, index) => row(event, first + index)));
  }

  open(place) {
    if (!place) return;
    const event = this.shown[Number(place.dataset.index)];
    this.one.hidden = false;
    this.one.textContent = JSON.stringify(event, null, 2);
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
    this.redraw.cancel();
  }
}

function row(event, index) {
  const seq = event.from ? `${event.from}–${event.seq}` : `${event.seq ?? "·"}`;
  const data = JSON.stringify(event.data);
  const text = data.length > 240 ? `${data.slice(0, 239)}…` : data;
  const title = event.at ? clock(event.at) : "";
  return el("li", { data: { index }, title }, el("b", {}, seq), " ", el("i", {}, event.type), " ", text);
}
