// A live chart of one figure, a line for each of its labels.

/* global uPlot */

import { el, perFrame } from "./dom.js";
import { clock, duration, number, size, t, tText } from "./i18n.js";
import { colour } from "./theme.js";

/** Points that are kept; older ones move out to the left. */
const POINTS = 1000;
const LINES = 4;
/** What the marks of the time axis may be apart: no less than a clock tells. */
const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400];
/** Units as people read them. */
const UNITS = { 1: () => "", "1/s": () => "/s", level: () => "", events: () => t("events") };

export class Chart {
  constructor(title) {
    this.title = title;
    this.unit = "";
    this.lines = new Map(); // label: its values, one for each of `xs`
    this.xs = [];
    this.at = null; // the place under the pointer
    this.now = el("span", { className: "now" });
    this.plot = el("div", { className: "plot", role: "img" });
    this.legend = el("p", { className: "legend" });
    this.node = el(
      "section",
      { className: "chart" },
      el("header", {}, el("h3", {}, nameOf(title)), this.now),
      this.plot,
      this.legend,
    );
    this.redraw = perFrame(() => this.draw());
    this.watcher = new ResizeObserver(() => this.resize());
    this.watcher.observe(this.plot);
    addEventListener("themechange", this.redraw);
  }

  /** A value at a time (ms), of the line with this label. */
  add(at, value, label = "", unit = "") {
    this.unit = UNITS[unit]?.() ?? unit ?? "";
    if (!this.lines.has(label)) {
      if (this.lines.size === LINES) return;
      this.lines.set(
        label,
        this.xs.map(() => null),
      );
      this.rebuild = true;
    }
    const x = at / 1000;
    const last = this.xs.length - 1;
    if (this.xs[last] === x && this.lines.get(label)[last] === null) this.lines.get(label)[last] = value;
    else this.push(x, label, value);
    this.redraw();
  }

  push(x, label, value) {
    this.xs.push(Math.max(x, this.xs.at(-1) ?? x));
    for (const [name, values] of this.lines) values.push(name === label ? value : null);
    if (this.xs.length <= POINTS) return;
    this.xs.shift();
    for (const values of this.lines.values()) values.shift();
  }

  draw() {
    if (!this.plot.isConnected || !this.plot.clientWidth) return;
    if (!this.chart || this.rebuild) this.build();
    this.chart.setData([this.xs, ...this.lines.values()]);
    this.tell();
  }

  /** In words: the latest values, or those under the pointer. */
  tell() {
    const until = this.at ?? this.xs.length;
    const shown = [...this.lines].map(([label, values]) => {
      const value = values.findLast((each, index) => each !== null && index <= until);
      return `${label} ${value === undefined ? "–" : this.amount(value)}`.trim();
    });
    const time = this.at === null ? "" : clock(this.xs[this.at] * 1000);
    this.now.textContent = [time, shown.length === 1 && shown[0]].filter(Boolean).join(" · ");
    if (this.at === null) this.plot.ariaLabel = `${nameOf(this.title)}: ${shown.join(", ")}`;
    if (shown.length > 1) {
      this.legend.replaceChildren(
        ...shown.map((each, index) => el("span", { className: `s${index + 1}` }, each)),
      );
    }
  }

  amount(value) {
    if (/^B\b/.test(this.unit)) return `${size(value)}${this.unit.slice(1)}`;
    if (this.unit === "s") return time(value);
    return `${number(value, 3)}${this.unit === "%" ? "" : " "}${this.unit}`;
  }

  /** At the axis: as short as it can be. */
  tick(value) {
    if (/^B\b/.test(this.unit)) return Number.isInteger(value) ? size(value) : "";
    if (this.unit === "s") return time(value);
    return this.unit === "%" ? `${number(value)}%` : short(value);
  }

  build() {
    this.rebuild = false;
    this.chart?.destroy();
    const axis = {
      stroke: () => colour("soft"),
      grid: { stroke: () => colour("line"), width: 1 },
      ticks: { show: false },
    };
    const lines = [...this.lines.keys()].map((label, index) => ({
      label,
      stroke: () => colour(`series-${index + 1}`),
      width: 1.5,
      spanGaps: true,
      points: { show: () => this.xs.length === 1 }, // of one point there is no line
    }));
    this.chart = new uPlot(
      {
        width: this.plot.clientWidth,
        height: this.plot.clientHeight,
        legend: { show: false },
        cursor: { y: false, points: { size: 6 }, drag: { x: false, setScale: false } },
        hooks: { setCursor: [({ cursor }) => this.point(cursor.idx)] },
        padding: [8, 28, 0, 0],
        axes: [
          { ...axis, size: 24, space: 70, incrs: SECONDS, values: (_, splits) => splits.map((each) => clock(each * 1000)) },
          { ...axis, size: 60, space: 28, values: (_, splits) => splits.map((each) => this.tick(each)) },
        ],
        // From nought on: a line that trembles by a thousandth shall look like one.
        scales: {
          x: { range: (_, low, high) => (this.xs.length === 1 ? [low - 5, low + 5] : [low, high]) },
          y: { range: (_, low, high) => [Math.min(0, low ?? 0), high > 0 ? high * 1.1 : 1] },
        },
        series: [{}, ...lines],
      },
      [this.xs, ...this.lines.values()],
      this.plot,
    );
  }

  /** Tell the values at a place of the lines; null: the latest. */
  point(at) {
    if (at === this.at) return;
    this.at = at;
    this.tell();
  }

  resize() {
    if (!this.chart) return this.redraw();
    this.chart.setSize({ width: this.plot.clientWidth, height: this.plot.clientHeight });
  }

  close() {
    this.redraw.cancel();
    this.watcher.disconnect();
    removeEventListener("themechange", this.redraw);
    this.chart?.destroy();
  }
}

const nameOf = (title) => tText(title.replaceAll("_", " "));

/** Seconds, also where they are tiny. */
const time = (value) => (value < 1 ? t("n_ms", { n: number(value * 1000, 2) }) : duration(value));

function short(value) {
  const format = { notation: "compact", maximumSignificantDigits: 3 };
  return new Intl.NumberFormat("en", format).format(value);
}
