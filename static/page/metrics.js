// A job's `metric` events as charts, one for each figure.

import { Chart } from "./chart.js";
import { el } from "./dom.js";

/** Figures that are drawn; a job may tell any number. */
const CHARTS = 24;

export class Metrics {
  constructor() {
    this.charts = new Map();
    this.node = el("div", { className: "charts" });
  }

  get isEmpty() {
    return this.charts.size === 0;
  }

  /** The chart of a figure, made where it is the first of that name; none where there are many. */
  chartOf(name) {
    if (!this.charts.has(name) && this.charts.size < CHARTS) {
      this.charts.set(name, new Chart(name));
      this.node.append(this.charts.get(name).node);
    }
    return this.charts.get(name);
  }

  /** Takes metric; leaves all else alone. */
  add({ type, at, data: { name, value, unit, labels } }) {
    if (type !== "metric") return;
    this.chartOf(name)?.add(Date.parse(at), value, Object.values(labels ?? {}).join(" "), unit);
  }

  close() {
    for (const each of this.charts.values()) each.close();
  }
}
