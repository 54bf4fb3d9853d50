// What a job has said in its log events, and all that is known of why it failed.

import { el } from "./dom.js";
import { clock, t } from "./i18n.js";

/** Lines that stay on the page. */
const SHOWN = 500;
/** Members of an error that stand elsewhere on the page. */
const TOLD = ["title", "detail", "status", "type", "instance", "retryable", "error", "errors"];

export class Logs {
  constructor() {
    this.list = el("ol", { className: "logs", tabIndex: 0, ariaLabel: t("log_lines") });
    this.error = el("dl", { className: "facts wide", hidden: true });
    this.node = el("div", { className: "stack" }, this.error, this.list);
  }

  get isEmpty() {
    return this.list.childElementCount === 0 && this.error.hidden;
  }

  /** Takes log events and the failure; leaves all else alone. */
  add({ type, at, data }) {
    if (type === "job.failed") this.fail(data.error ?? {});
    if (type !== "log" || !data.message) return;
    const time = el("time", {}, clock(at));
    this.list.append(el("li", { data: { level: data.level } }, time, el("b", {}, data.level), el("span", {}, data.message)));
    if (this.list.childElementCount > SHOWN) this.list.firstChild.remove();
  }

  fail(error) {
    const rows = Object.entries(error).filter(([name, value]) => !TOLD.includes(name) && value != null);
    this.error.hidden = !rows.length;
    this.error.replaceChildren(
      ...rows.flatMap(([name, value]) => [el("dt", {}, el("code", {}, name)), el("dd", {}, shown(value))]),
    );
  }
}

function shown(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  return text.includes("\n") ? el("pre", { tabIndex: 0 }, text) : text;
}
