// Alerts as they came: the newest first, so many of them.

import { el } from "./dom.js";
import { clock, t, tText } from "./i18n.js";

const SHOWN = 100;

export class Alerts {
  constructor() {
    this.node = el("ul", { className: "alerts", tabIndex: 0, ariaLabel: t("alerts") });
  }

  get isEmpty() {
    return this.node.childElementCount === 0;
  }

  /** Takes alert; leaves all else alone. */
  add({ type, at, data: { severity, state, message } }) {
    if (type !== "alert") return;
    const kind = state === "resolved" ? "resolved" : severity;
    const time = el("span", { className: "hint" }, clock(at));
    this.node.prepend(el("li", { data: { kind } }, el("b", {}, tText(kind)), ` ${message}`, time));
    if (this.node.childElementCount > SHOWN) this.node.lastChild.remove();
  }
}
