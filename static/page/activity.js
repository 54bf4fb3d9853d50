// What a model or an agent does beside answering: its thinking and its calls of tools.

import { el } from "./dom.js";
import { duration, t } from "./i18n.js";

/** Characters of thinking, and calls, that stay on the page. */
const THOUGHT = 20_000;
const CALLS = 200;

export class Activity {
  constructor() {
    this.thought = document.createTextNode("");
    const box = el(
      "div",
      { className: "thinking", dir: "auto", tabIndex: 0, role: "region", ariaLabel: t("reasoning") },
      this.thought,
    );
    this.thinking = el("details", { open: true, hidden: true }, el("summary", {}, t("reasoning")), box);
    this.calls = el("ol", { className: "calls", ariaLabel: t("tool_calls"), hidden: true });
    this.open = new Map();
    this.node = el("div", { className: "stack" }, this.thinking, this.calls);
  }

  get isEmpty() {
    return this.thinking.hidden && this.calls.hidden;
  }

  /** Takes reasoning.delta, tool.call and tool.result; leaves all else alone. */
  add({ type, data }) {
    if (type === "reasoning.delta") this.think(data.text);
    if (type === "tool.call") this.call(data);
    if (type === "tool.result") this.answer(data);
  }

  think(text) {
    this.thinking.hidden = false;
    this.thought.appendData(text);
    const over = this.thought.length - THOUGHT;
    if (over > 0) this.thought.deleteData(0, over);
  }

  call({ id, name, arguments: given }) {
    this.calls.hidden = false;
    const time = el("span", { className: "hint" }, ` ${t("running")}`);
    const result = el("pre");
    const summary = el("summary", {}, el("code", {}, `${name}(${shortly(given)})`), time);
    this.calls.append(
      el("li", {}, el("details", {}, summary, el("pre", {}, JSON.stringify(given, null, 2)), result)),
    );
    this.open.set(id, { time, result });
    if (this.calls.childElementCount > CALLS) this.calls.firstChild.remove();
  }

  answer({ id, output, error, duration_s }) {
    const place = this.open.get(id);
    if (!place) return;
    this.open.delete(id);
    place.time.textContent = ` ${error ? t("failed") : "✓"} ${duration_s == null ? "" : duration(duration_s)}`;
    place.result.textContent = error ? message(error) : JSON.stringify(output, null, 2);
  }
}

const message = (error) => error.detail ?? error.message ?? JSON.stringify(error);

function shortly(given) {
  const text = Object.values(given ?? {})
    .map((each) => JSON.stringify(each))
    .join(", ");
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}
