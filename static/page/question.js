// What a job asks a person while it runs, as a form from the question's schema.

import { el, freshId } from "./dom.js";
import { plain } from "./field.js";
import { SchemaForm } from "./form.js";
import { t, tNumbered } from "./i18n.js";
import { problemBox, showProblem } from "./problem.js";
import { client } from "./session.js";
import { forget, keep, restore } from "./typed.js";

export class Question {
  constructor(job) {
    this.job = job;
    this.request = null;
    this.node = el("section", { className: "card stack ask", hidden: true });
  }

  /** The question that is open, or none; a form that somebody fills in is left alone. */
  draw(asked) {
    if ((asked?.request ?? null) === this.request) return;
    if (this.request) forget(this.key);
    this.request = asked?.request ?? null;
    this.node.hidden = !asked;
    this.node.ariaLabel = t("a_question");
    this.node.replaceChildren(...(asked ? this.ask(asked) : []));
    if (asked) restore(this.key, this.node);
  }

  get key() {
    return `answer ${this.job} ${this.request}`;
  }

  /** What was filled in stays for when it is shown again. */
  close() {
    if (this.request) keep(this.key, this.node);
  }

  ask({ prompt, schema, request }) {
    const answer = (data) => client.answer(this.job, data, request);
    const yesNo = decision(schema);
    const form = yesNo === null ? valueForm(schema, answer) : buttons(yesNo, answer);
    return [el("h2", {}, t("the_job_asks")), el("p", {}, prompt), form];
  }
}

/** The name of a schema's only member when that is a yes or no; "" for a bare one; else null. */
function decision(schema) {
  if (schema?.type === "boolean") return "";
  const names = Object.keys(schema?.properties ?? {});
  if (names.length !== 1) return null;
  return plain(schema.properties[names[0]], schema).type === "boolean" ? names[0] : null;
}

function buttons(name, answer) {
  const problem = problemBox();
  const wrong = el("p", { className: "wrong", id: freshId("problem"), role: "alert", hidden: true });
  const show = (error) => {
    const refused = errorsAbout(name, error);
    wrong.hidden = !refused.length;
    wrong.textContent = refused.map((each) => tNumbered(each.message)).join(" ");
    showProblem(problem, refused.length ? null : error);
  };
  const give = (value) => async () => {
    for (const each of all) each.disabled = true;
    show(null);
    try {
      await answer(name === "" ? value : { [name]: value });
    } catch (error) {
      show(error);
      for (const each of all) each.disabled = false;
    }
  };
  const all = [
    el(
      "button",
      { type: "button", className: "main", onclick: give(true) },
      name === "approve" ? t("approve") : t("yes"),
    ),
    el("button", { type: "button", onclick: give(false) }, name === "approve" ? t("refuse") : t("no")),
  ];
  for (const each of all) each.setAttribute("aria-describedby", wrong.id);
  return el("div", { className: "stack" }, el("div", { className: "bar" }, all), wrong, problem);
}

/** What the server refuses a yes or no for; empty if that is not all that is wrong. */
function errorsAbout(name, error) {
  const errors = error?.problem?.errors ?? [];
  const field = name === "" ? "data" : `data.${name}`;
  return errors.every((each) => each.field === field) ? errors : [];
}

/** A form for an object with members; for all else a form with one field. */
function valueForm(schema, answer) {
  const members = Object.keys(schema?.properties ?? {}).length > 0;
  const shape = members
    ? schema
    : { properties: { answer: { title: "Answer", ...schema } }, required: ["answer"] };
  const submit = (value) => answer(members ? value : value.answer);
  // A bare value is refused under "data"; its field here is "data.answer".
  const locate = members ? undefined : (field) => field.replace(/^data(?=\.|$)/, "data.answer");
  return new SchemaForm(shape, { prefix: "data", label: t("answer"), submit, locate }).node;
}
