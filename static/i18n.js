// What the page says, in English and Chinese. The English text is the key; what a catalogue lacks
// stays English, as do texts of a server's own tasks.

import { chinese } from "./chinese.js";

const CATALOGUES = { en: {}, zh: chinese };
const OTHER = { en: "zh", zh: "en" };
const NAMES = { en: "English", zh: "中文" };

let language = localStorage.getItem("language") ?? preferred();
if (!(language in CATALOGUES)) language = "en";

/** The first of the browser's languages that the page speaks. */
function preferred() {
  const wanted = navigator.languages.map((each) => each.slice(0, 2).toLowerCase());
  return wanted.find((each) => each in CATALOGUES) ?? "en";
}

/** A text in the page's language, with `{name}` replaced by the value of that name. */
export function t(text, values = {}) {
  const found = CATALOGUES[language][text] ?? lacking(text);
  return found.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** Texts that were asked for and that the catalogue of the page's language lacks: for tests. */
export const missing = new Set();

function lacking(text) {
  if (language !== "en") missing.add(text);
  return text;
}

/** Translate what stands in the document itself, marked by data-t and data-t-label. */
export function translate(root) {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const each of root.querySelectorAll("[data-t]")) {
    each.dataset.t ||= each.textContent;
    each.textContent = t(each.dataset.t);
  }
  for (const each of root.querySelectorAll("[data-t-label]")) {
    each.dataset.tLabel ||= each.ariaLabel;
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
  if (s < 0.95) return `${Math.max(1, Math.round(s * 1000))} ms`;
  if (s < 9.95) return `${s.toFixed(1)} s`;
  if (s < 90) return `${Math.round(s)} s`;
  return s < 5400 ? `${Math.round(s / 60)} min` : `${(s / 3600).toFixed(1)} h`;
}

/** A number in the page's language. */
export const number = (value, digits = 2) =>
  new Intl.NumberFormat(document.documentElement.lang, { maximumFractionDigits: digits }).format(value);

/** Bytes as people say them. */
export function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1e6 ? `${number(bytes / 1e3, 1)} kB` : `${number(bytes / 1e6, 1)} MB`;
}

/** A time of day. */
export const clock = (at) =>
  new Date(at).toLocaleTimeString(document.documentElement.lang, { hour12: false });

/** A day and a time. */
export const moment = (at) =>
  new Date(at).toLocaleString(document.documentElement.lang, {
    dateStyle: "short",
    timeStyle: "medium",
    hourCycle: "h23",
  });
