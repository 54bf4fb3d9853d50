// One field of a form, made from its JSON Schema. Each has `node`, `read()` (undefined: left out)
// and `at(path)`: the field that an error's path names.

import { el, freshId } from "./dom.js";
import { percent, size, t, tText } from "./i18n.js";

/** Characters from which on a text gets several lines. */
const LONG_TEXT = 300;

/** A schema with its reference resolved and a "or null" taken off; `optional` says that it was. */
export function plain(schema, root) {
  if (schema.$ref) {
    const found = schema.$ref
      .split("/")
      .slice(1)
      .reduce((place, part) => place[part], root);
    return plain({ ...found, ...schema, $ref: undefined }, root);
  }
  const ways = schema.anyOf ?? schema.oneOf;
  const real = ways?.filter((each) => each.type !== "null");
  if (real?.length === 1 && real.length < ways.length) {
    return { ...plain({ ...schema, ...real[0], anyOf: undefined, oneOf: undefined }, root), optional: true };
  }
  return schema;
}

/** The field of a schema. `given` is its value to begin with, `upload` sends a file, for its id. */
export function makeField(name, raw, context) {
  const schema = plain(raw, context.root);
  return kindOf(schema, context.root)(name, schema, context);
}

function kindOf(schema, root) {
  if (schema.enum || schema.const !== undefined) return choice;
  if (schema.format === "file-id") return file;
  if (schema.type === "boolean") return tick;
  if (schema.type === "integer" || schema.type === "number") return figure;
  if (schema.type === "string") return text;
  if (schema.type === "array" && plain(schema.items ?? {}, root).format === "file-id") return file;
  if (schema.type === "array" && schema.items) return list;
  if (schema.type === "object" && schema.properties) return group;
  return json;
}

export const titleOf = (name, schema) => tText(schema.title ?? name.replaceAll("_", " "));

/** What all fields have: label, control, help, and a place for what is wrong with it. */
function labelled(name, schema, { required, path }, control, read) {
  const ids = { control: freshId("field"), help: freshId("help"), problem: freshId("problem") };
  control.id = ids.control;
  control.dataset.path = path;
  const help = el("p", { className: "hint", id: ids.help }, helpOf(schema));
  const problem = el("p", { className: "wrong", id: ids.problem, hidden: true });
  control.setAttribute("aria-describedby", help.textContent ? `${ids.help} ${ids.problem}` : ids.problem);
  if (required) control.setAttribute("aria-required", "true");
  const mark = required ? el("span", { className: "needed", ariaHidden: "true" }, "*") : null;
  const label = el("label", { htmlFor: ids.control }, titleOf(name, schema), mark);
  const node = el("div", { className: "field" }, label, control, help, problem);
  const field = { node, read, at: () => field, control };
  field.complain = (message) => {
    control.setAttribute("aria-invalid", message ? "true" : "false");
    problem.hidden = !message;
    problem.textContent = message ?? "";
  };
  return field;
}

function helpOf({ description, minimum, maximum, exclusiveMinimum }) {
  const low = minimum ?? exclusiveMinimum;
  const limits = low !== undefined && maximum !== undefined ? `${low}–${maximum}` : "";
  return [description && tText(description), limits].filter(Boolean).join(" · ");
}

function text(name, schema, context) {
  const code = schema.contentMediaType !== undefined;
  const long = code || (schema.maxLength ?? Infinity) > LONG_TEXT;
  const value = context.given ?? schema.default ?? "";
  const shared = { value, maxLength: schema.maxLength, spellcheck: !code, autocomplete: "off" };
  const control = long
    ? el("textarea", { ...shared, rows: code ? 8 : 3, className: code ? "code" : "" })
    : el("input", { ...shared, type: "text" });
  return labelled(name, schema, context, control, () => {
    if (control.value === "" && !context.required) return undefined;
    return control.value;
  });
}

function figure(name, schema, context) {
  const control = el("input", {
    type: "number",
    min: schema.minimum ?? schema.exclusiveMinimum,
    max: schema.maximum,
    step: schema.type === "integer" ? "1" : "any",
    value: context.given ?? schema.default ?? "",
    placeholder: schema.default == null && !context.required ? t("none") : "",
    inputMode: "decimal",
  });
  return labelled(name, schema, context, control, () => {
    if (control.validity.badInput) throw new Unreadable(context.path, t("not_number"));
    return control.value === "" ? undefined : Number(control.value);
  });
}

function tick(name, schema, context) {
  const control = el("input", { type: "checkbox", checked: context.given ?? schema.default ?? false });
  const field = labelled(name, schema, context, control, () => control.checked);
  field.node.classList.add("tick");
  return field;
}

function choice(name, schema, context) {
  const values = schema.enum ?? [schema.const];
  const chosen = context.given ?? schema.default ?? (context.required ? values[0] : null);
  const options = values.map((each) =>
    el("option", { value: String(each), selected: each === chosen }, tText(String(each))),
  );
  if (!context.required && schema.default == null)
    options.unshift(el("option", { value: "", selected: chosen === null }, t("none")));
  const control = el("select", {}, options);
  return labelled(name, schema, context, control, () =>
    values.find((each) => String(each) === control.value),
  );
}

/** Files are sent when the form is: the value is the ids of what was uploaded, now or before. */
function file(name, schema, context) {
  const several = schema.type === "array";
  const control = el("input", { type: "file", multiple: several, className: "unseen" });
  const said = el("span", { className: "hint", ariaLive: "polite" });
  const invitation = several ? t("choose_files_drop_them_here") : t("choose_file_drop_here");
  const drop = el("label", { className: "drop" }, el("span", { className: "link" }, invitation), said);
  const bar = el("progress", { max: 1, value: 0, hidden: true, ariaLabel: t("upload") });
  let ids = [context.given ?? []].flat();
  if (ids.length) said.textContent = t("uploaded_already_n", { n: ids.length });
  control.onchange = () => {
    ids = [];
    said.textContent = [...control.files].map((each) => `${each.name} (${size(each.size)})`).join(", ");
  };
  takeDropped(drop, control);
  const tell = (share, { name: file }) => {
    bar.hidden = false;
    bar.value = share;
    said.textContent = t("name_share_sent", { name: file, share: percent(share * 100) });
  };
  const field = labelled(name, schema, context, control, async () => {
    try {
      if (!ids.length) ids = await sendAll([...control.files], tell, context.upload);
    } finally {
      bar.hidden = true;
    }
    if (several) return ids.length || context.required ? ids : undefined;
    return ids[0] ?? (context.required ? "" : undefined);
  });
  drop.htmlFor = control.id;
  control.after(drop, bar);
  return field;
}

/** What is dropped there is chosen. */
function takeDropped(place, control) {
  place.ondragover = (event) => event.preventDefault();
  place.ondrop = (event) => {
    event.preventDefault();
    const chosen = new DataTransfer();
    const dropped = [...event.dataTransfer.files];
    for (const each of control.multiple ? dropped : dropped.slice(0, 1)) chosen.items.add(each);
    control.files = chosen.files;
    control.onchange();
  };
}

/** Send files one after the other; their ids. `tell` gets the share of all that is sent, and which is next. */
async function sendAll(files, tell, upload) {
  const ids = [];
  const total = files.reduce((sum, each) => sum + each.size, 0) || 1;
  let sent = 0;
  for (const each of files) {
    tell(sent / total, each);
    ids.push(await upload(each, (share) => tell((sent + share * each.size) / total, each)));
    sent += each.size;
    tell(sent / total, each);
  }
  return ids;
}

function list(name, schema, context) {
  const rows = el("div", { className: "rows" });
  let fields = [];
  const add = (given) => {
    const path = `${context.path}.${fields.length}`;
    const field = makeField(`${fields.length + 1}`, schema.items, {
      ...context,
      given,
      path,
      required: true,
    });
    const drop = el("button", { type: "button", className: "small" }, t("remove"));
    const row = el("div", { className: "entry" }, field.node, drop);
    drop.onclick = () => {
      fields = fields.filter((each) => each !== field);
      row.remove();
    };
    fields.push(field);
    rows.append(row);
  };
  for (const each of context.given ?? schema.default ?? []) add(each);
  const more = el("button", { type: "button", className: "small", onclick: () => add() }, t("add"));
  const help = schema.description ? el("p", { className: "hint" }, tText(schema.description)) : null;
  const node = folded(titleOf(name, schema), help, rows, more);
  return {
    node,
    read: async () => Promise.all(fields.map((each) => each.read())),
    at: ([first, ...rest]) => fields[Number(first)]?.at(rest),
  };
}

const folded = (title, ...children) =>
  el("details", { className: "fold" }, el("summary", {}, title), ...children.filter(Boolean));

/** Members that may be left out are folded away from so many on. */
const MANY = 4;

/** The members of an object. Where there are many that may be left out and have no value, these are folded away. */
export function group(name, schema, context) {
  const fields = {};
  const node = el("div", { className: "group" });
  const rest = [];
  for (const [key, each] of Object.entries(schema.properties)) {
    const required = (schema.required ?? []).includes(key);
    const path = context.path ? `${context.path}.${key}` : key;
    const given = context.given?.[key];
    fields[key] = makeField(key, each, { ...context, path, required, given });
    const bare = plain(each, context.root);
    const optional = !required && given === undefined && bare.default == null && bare.format !== "file-id";
    if (optional) rest.push(fields[key].node);
    else node.append(fields[key].node);
  }
  if (rest.length >= MANY) node.append(folded(t("more_settings"), el("div", { className: "group" }, rest)));
  else node.append(...rest);
  return {
    node,
    fields,
    read: async () => {
      const pairs = await Promise.all(
        Object.entries(fields).map(async ([key, each]) => [key, await each.read()]),
      );
      return Object.fromEntries(pairs.filter(([, value]) => value !== undefined));
    },
    at: ([first, ...rest]) => fields[first]?.at(rest),
  };
}

/** What no other field can show: as JSON. */
function json(name, schema, context) {
  const value = context.given ?? schema.default;
  const shown = value === undefined || value === null ? "" : JSON.stringify(value, null, 2);
  const control = el("textarea", {
    value: shown,
    className: "code",
    rows: 4,
    spellcheck: false,
    placeholder: "JSON",
  });
  return labelled(name, schema, context, control, () => {
    if (control.value.trim() === "") return context.required ? {} : undefined;
    try {
      return JSON.parse(control.value);
    } catch (error) {
      throw new Unreadable(context.path, t("not_json_why", { why: error.message }));
    }
  });
}

/** A field whose content cannot be read; shown as the server's own errors are. */
export class Unreadable extends Error {
  constructor(field, message) {
    super(message);
    this.errors = [{ field: `input.${field}`, message }];
  }
}
