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

  add({ at, data: { name, value, unit, labels } }) {
    if (!this.charts.has(name)) {
      if (this.charts.size === CHARTS) return;
      this.charts.set(name, new Chart(name));
      this.node.append(this.charts.get(name).node);
    }
    this.charts.get(name).add(Date.parse(at), value, Object.values(labels ?? {}).join(" "), unit);
  }

  close() {
    for (const each of this.charts.values()) each.close();
  }
}
