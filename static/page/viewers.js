// Who watches a job, and how far behind each is.

import { el } from "./dom.js";
import { t } from "./i18n.js";
import { client } from "./session.js";
import { transportName } from "./status.js";

const EVERY_MS = 2000;
/** The first look is a little later: who looks shall be among the viewers. */
const SOON_MS = 500;

export class Viewers {
  constructor(job) {
    this.job = job;
    this.node = el("div");
    this.timer = setInterval(() => this.look(), EVERY_MS);
    this.first = setTimeout(() => this.look(), SOON_MS);
  }

  async look() {
    if (document.hidden) return;
    try {
      this.draw(await client.viewers(this.job));
    } catch {
      this.node.replaceChildren(el("p", { className: "hint" }, t("not_known_moment")));
    }
  }

  draw({ viewers }) {
    const rows = viewers
      .slice(0, 50)
      .map(({ transport, lag }) =>
        el(
          "tr",
          {},
          el("th", { scope: "row" }, transportName(transport)),
          el("td", { className: "number" }, String(lag)),
        ),
      );
    if (!rows.length) return this.node.replaceChildren(el("p", { className: "hint" }, t("nobody_watches")));
    const head = el(
      "tr",
      {},
      el("th", { scope: "col" }, t("transport")),
      el("th", { scope: "col", className: "number" }, t("not_yet_received")),
    );
    this.node.replaceChildren(el("table", {}, el("thead", {}, head), el("tbody", {}, rows)));
  }

  close() {
    clearInterval(this.timer);
    clearTimeout(this.first);
  }
}
