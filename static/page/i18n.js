// What the page says, in English and Chinese, by the id of each text. What comes from the server (titles
// of tasks, problems) is found by its English; what a catalogue lacks stays as it is.

import { chinese } from "./chinese.js";
import { english } from "./english.js";

const CATALOGUES = { en: english, zh: chinese };
/** The ids of texts, by the English. */
const IDS = new Map(Object.entries(english).map(([id, text]) => [text, id]));
const OTHER = { en: "zh", zh: "en" };
const NAMES = { en: "English", zh: "中文" };

let language = localStorage.getItem("language") ?? preferred();
if (!(language in CATALOGUES)) language = "en";

/** The first of the browser's languages that the page speaks. */
function preferred() {
  const wanted = navigator.languages.map((each) => each.slice(0, 2).toLowerCase());
  return wanted.find((each) => each in CATALOGUES) ?? "en";
}

/** A text in the page's language, by its id, with `{name}` replaced by the value of that name. */
export function t(id, values = {}) {
  return filled(CATALOGUES[language][id] ?? english[id] ?? lacking(id), values);
}

/** What is there in English, as the server says it, in the page's language. */
export function tText(text, values = {}) {
  const id = IDS.get(text);
  return filled((id && CATALOGUES[language][id]) ?? lacking(text), values);
}

const filled = (text, values) => text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);

/** A text of the server's in which the first number may be any. */
export function tNumbered(text) {
  const n = /\d+(\.\d+)?/.exec(text)?.[0];
  return n === undefined ? tText(text) : tText(text.replace(n, "{n}"), { n });
}

/** Texts that were asked for and that the catalogue of the page's language lacks: for tests. */
export const missing = new Set();

function lacking(text) {
  if (language !== "en" && text) missing.add(text);
  return text;
}

/** Translate what stands in the document itself, marked by data-t and data-t-label: the ids of texts. */
export function translate(root) {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const each of root.querySelectorAll("[data-t]")) {
    each.textContent = t(each.dataset.t);
  }
  for (const each of root.querySelectorAll("[data-t-label]")) {
    each.ariaLabel = t(each.dataset.tLabel);
  }
}

/** The language that the button offers: its code and its own name. */
export const other = () => ({ code: OTHER[language], name: NAMES[OTHER[language]] });

/** Take the other language, and remember it. */
export function change() {
  language = OTHER[language];
  localStorage.setItem("language", language);
}

/** Seconds as people say them. */
export function duration(s) {
  if (s < 0.95) return t("n_ms", { n: Math.max(1, Math.round(s * 1000)) });
  if (s < 9.95) return t("n_s", { n: Number.isInteger(s) ? s : s.toFixed(1) });
  if (s < 59.5) return t("n_s", { n: Math.round(s) });
  if (s < 3570) return inTwo(Math.round(s), 60, "n_min", "n_s");
  return inTwo(Math.round(s / 60), 60, "n_h", "n_min");
}

function inTwo(amount, size, large, small) {
  const rest = amount % size;
  const whole = t(large, { n: (amount - rest) / size });
  return rest ? `${whole} ${t(small, { n: rest })}` : whole;
}

const format = (value, options) => new Intl.NumberFormat(document.documentElement.lang, options).format(value);

/** A number in the page's language. */
export const number = (value, digits = 2) => format(value, { maximumFractionDigits: digits });

/** A share of a hundred. */
export const percent = (value) => format(value / 100, { style: "percent" });

/** Bytes as people say them. */
export function size(bytes) {
  if (bytes < 1000) return `${number(bytes, 0)} B`;
  if (bytes < 1e6) return `${number(bytes / 1e3, 1)} kB`;
  return bytes < 1e9 ? `${number(bytes / 1e6, 1)} MB` : `${number(bytes / 1e9, 1)} GB`;
}

const clocks = {}; // by language: to make one takes longer than to use it

/** A time of day. */
export function clock(at) {
  clocks[language] ??= new Intl.DateTimeFormat(document.documentElement.lang, {
    timeStyle: "medium",
    hourCycle: "h23",
  });
  return clocks[language].format(new Date(at));
}

/** A time, with its day unless that is today. */
export function moment(at) {
  const day = new Date(at);
  if (day.toDateString() === new Date().toDateString()) return clock(at);
  const date = day.toLocaleDateString(document.documentElement.lang, { dateStyle: "medium" });
  return `${date}, ${clock(at)}`;
}
