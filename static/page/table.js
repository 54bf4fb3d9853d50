// Rows as a table: what a job has made as CSV or JSON.

/* global Papa */

import { el } from "./dom.js";
import { t } from "./i18n.js";

const ROWS = 200;
const COLUMNS = 40;

/** A CSV text as a table. */
export function csvTable(text) {
  const { data } = Papa.parse(text, { skipEmptyLines: true, preview: ROWS + 2 });
  const [head = [], ...rows] = data;
  return table(head, rows);
}

/** Plain objects in a list (or in a list's place within an object) as a table, or null. */
export function jsonTable(value) {
  const list = Array.isArray(value) ? value : onlyList(value);
  if (!list?.length || !list.every(isFlat)) return null;
  const head = [...new Set(list.slice(0, ROWS).flatMap((each) => Object.keys(each)))];
  return table(
    head,
    list.map((each) => head.map((name) => shown(each[name]))),
  );
}

function onlyList(value) {
  const lists = Object.values(value ?? {}).filter(Array.isArray);
  return lists.length === 1 ? lists[0] : null;
}

const isFlat = (each) => each !== null && typeof each === "object" && !Array.isArray(each);
const shown = (value) =>
  value == null ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
const isNumber = (text) => text !== "" && !Number.isNaN(Number(text));

function table(head, rows) {
  const numeric = head.map(
    (_, column) => rows.length > 0 && rows.every((row) => isNumber(row[column] ?? "")),
  );
  const kind = (column) => (numeric[column] ? "number" : "");
  const cut = (row) => row.slice(0, COLUMNS);
  const made = el(
    "table",
    {},
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        cut(head).map((each, column) => el("th", { scope: "col", className: kind(column) }, each)),
      ),
    ),
    el(
      "tbody",
      {},
      rows.slice(0, ROWS).map((row) =>
        el(
          "tr",
          {},
          cut(row).map((each, column) => el("td", { className: kind(column) }, each)),
        ),
      ),
    ),
  );
  const box = el("div", { className: "scroll", tabIndex: 0, role: "group", ariaLabel: t("table") }, made);
  const more =
    rows.length > ROWS ? el("p", { className: "hint" }, t("the_first_n_rows", { n: ROWS })) : null;
  return el("div", {}, box, more);
}
