// What a job was asked: the question itself, and what else was given with it.

import { el } from "./dom.js";
import { t } from "./i18n.js";

/** Members of an input that are the question, the likeliest first. */
const QUESTIONS = ["prompt", "question", "message", "text", "query", "title"];
/** Characters from which on a question is folded; of a value in a line. */
const LONG = 600;
const SHORT = 80;

/** The question in an input, in one line; "" where there is none. */
export function questionOf(input, most = 160) {
  const name = QUESTIONS.find((each) => typeof input?.[each] === "string" && input[each].trim());
  const text = name ? input[name] : Object.entries(input ?? {}).map(brief).join(" · ");
  return cut(text.replace(/\s+/g, " ").trim(), most);
}

const brief = ([name, value]) => `${name}: ${valueOf(value)}`;
const valueOf = (value) => cut(typeof value === "string" ? value.replace(/\s+/g, " ") : JSON.stringify(value), SHORT);
const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

/** What was asked, above the answer: the question in full, the rest as facts; null where there is neither. */
export function askedCard(input, title) {
  const name = QUESTIONS.find((each) => typeof input?.[each] === "string" && input[each].trim());
  const rest = Object.entries(input ?? {}).filter(([each, value]) => each !== name && value !== null);
  const repeats = name && input[name].trim() === title; // the job is called so already
  const question = name && !repeats ? el("blockquote", { className: "question", dir: "auto" }, folded(input[name])) : null;
  const facts = rest.length
    ? el("p", { className: "hint given" }, rest.flatMap(([each, value]) => [el("span", {}, `${each} `, el("code", {}, valueOf(value))), " "]))
    : null;
  if (!question && !facts) return null;
  return el("section", { className: "asked", ariaLabel: t("what_was_asked") }, question, facts);
}

function folded(text) {
  if (text.length <= LONG) return text;
  return el("details", {}, el("summary", {}, cut(text, LONG / 2)), el("p", {}, text));
}
