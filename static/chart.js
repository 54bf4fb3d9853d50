// A live chart of one figure, a line for each of its labels.

/* global uPlot */

import { el, perFrame } from "./dom.js";
import { clock, number, size, t } from "./i18n.js";
import { colour } from "./theme.js";

/** Points that are kept; older ones move out to the left. */
const POINTS = 1000;
const LINES = 4;
/** Units as people read them. */
const UNITS = { 1: () => "", "1/s": () => "/s", level: () => "", events: () => t("events") };

export class Chart {
  constructor(title) {
    this.title = title;
    this.unit = "";
    this.lines = new Map(); // label: its values, one for each of `xs`
    this.xs = [];
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

  /** The latest values in words, for all who do not see the lines. */
  tell() {
    const latest = [...this.lines].map(([label, values]) => [
      label,
      values.findLast((each) => each !== null),
    ]);
    const shown = latest.map(([label, value]) => `${label} ${this.amount(value)}`.trim());
    this.now.textContent = latest.length === 1 ? shown[0] : "";
    this.plot.ariaLabel = `${nameOf(this.title)}: ${shown.join(", ")}`;
    if (latest.length > 1) {
      this.legend.replaceChildren(
        ...shown.map((each, index) => el("span", { className: `s${index + 1}` }, each)),
      );
    }
  }

  amount(value) {
    if (/^B\b/.test(this.unit)) return `${size(value)}${this.unit.slice(1)}`;
    return `${number(value, 3)} ${this.unit}`;
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
      points: { show: false },
    }));
    this.chart = new uPlot(
      {
        width: this.plot.clientWidth,
        height: this.plot.clientHeight,
        legend: { show: false },
        cursor: { show: false },
        padding: [8, 4, 0, 0],
        axes: [
          { ...axis, size: 24, space: 70, values: (_, splits) => splits.map((each) => clock(each * 1000)) },
          { ...axis, size: 44, space: 28, values: (_, splits) => splits.map((each) => short(each)) },
        ],
        // From nought on: a line that trembles by a thousandth shall look like one.
        scales: { y: { range: (_, low, high) => [Math.min(0, low ?? 0), high > 0 ? high * 1.1 : 1] } },
        series: [{}, ...lines],
      },
      [this.xs, ...this.lines.values()],
      this.plot,
    );
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

const nameOf = (title) => t(title.replaceAll("_", " "));

function short(value) {
  const format = { notation: "compact", maximumSignificantDigits: 3 };
  return new Intl.NumberFormat("en", format).format(value);
}
