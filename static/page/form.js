// A form from a JSON Schema: its fields, its value, and what the server says is wrong, each at its
// field.

import { el } from "./dom.js";
import { makeField, plain } from "./field.js";
import { t, tNumbered } from "./i18n.js";
import { showProblem } from "./problem.js";

export class SchemaForm {
  /**
   * `prefix` is how the server names the value in its errors ("input", "data"); `submit` is called
   * with it, and what it throws is shown. `locate` gives the field that one of its errors is about.
   */
  constructor(schema, { prefix, given, label, upload, submit, extra = [], locate = (field) => field }) {
    this.prefix = prefix;
    this.locate = locate;
    this.field = makeField(
      "",
      { type: "object", ...schema },
      { root: schema, path: "", required: true, given, upload },
    );
    this.problem = el("div", { className: "problem", role: "alert", hidden: true });
    this.button = el("button", { className: "main" }, label ?? t("send"));
    this.node = el(
      "form",
      { className: "schema", noValidate: true },
      this.field.node,
      ...extra,
      this.problem,
      this.button,
    );
    this.node.onsubmit = (event) => {
      event.preventDefault();
      this.run(submit);
    };
  }

  /** Read, hand on, and show what was refused. Nothing is sent twice at once. */
  async run(submit) {
    if (this.button.disabled) return;
    this.button.disabled = true;
    this.show(null);
    try {
      await submit(await this.field.read());
    } catch (error) {
      this.show(error);
    } finally {
      this.button.disabled = false;
    }
  }

  /** Each error at its field; what belongs to none, and what is no error of a field, below them. */
  show(error) {
    for (const each of this.node.querySelectorAll(".wrong")) each.hidden = true;
    for (const each of this.node.querySelectorAll("[aria-invalid]")) each.removeAttribute("aria-invalid");
    if (error === null) return showProblem(this.problem, null);
    const problem = error.problem ?? { message: error.message, errors: error.errors };
    const errors = problem.errors ?? [];
    const rest = errors.filter((each) => !this.complain(each));
    const named = rest.map((each) => (each.field === this.prefix ? { message: each.message } : each));
    if (rest.length || !errors.length) showProblem(this.problem, { ...problem, errors: named });
    const first = this.node.querySelector("[aria-invalid=true]");
    first?.closest("details")?.setAttribute("open", "");
    first?.focus();
  }

  complain({ field, message }) {
    // JSON Schema tells of a member that lacks at the object that lacks it.
    const lacking = /^'([^']+)' is a required property/.exec(message)?.[1];
    const [head, ...path] = this.locate(lacking ? `${field}.${lacking}` : field).split(".");
    if (head !== this.prefix || !path.length) return false;
    const found = this.field.at?.(path);
    found?.complain?.(tNumbered(message));
    return found?.complain !== undefined;
  }
}

/** What a schema asks for, as a form or, when it has no members, as one JSON value. */
export const hasMembers = (schema) => Object.keys(plain(schema, schema).properties ?? {}).length > 0;
