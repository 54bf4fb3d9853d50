// Several jobs of a list at once: choose, cancel, delete.

import { el, say } from "./dom.js";
import { t } from "./i18n.js";
import { showProblem } from "./problem.js";
import { client } from "./session.js";

/** Requests that are open at once: browsers allow six to a host. */
const AT_ONCE = 4;

export class Bulk {
  /** `rows` by id, each with `tick`, `job` and `ended`; `drop(id)` takes one out of the list. */
  constructor({ rows, list, drop, problem }) {
    Object.assign(this, { rows, list, drop, problem });
    this.toggle = el("button", { type: "button", className: "small", ariaPressed: "false", onclick: () => this.choose() }, t("choose"));
    this.all = el("button", { type: "button", className: "small", onclick: () => this.chooseAll() }, t("all_shown"));
    this.cancel = el("button", { type: "button", className: "small", onclick: () => this.cancelChosen() });
    this.remove = el("button", { type: "button", className: "small danger", onclick: () => this.removeChosen() });
    this.count = el("span", { className: "hint" });
    this.node = el("div", { className: "bar bulk" }, this.toggle, this.all, this.cancel, this.remove, this.count);
    this.tell();
  }

  get chosen() {
    return [...this.rows.entries()].filter(([, { tick }]) => tick.checked);
  }

  choose() {
    this.on = !this.on;
    this.toggle.ariaPressed = String(this.on);
    this.list.classList.toggle("choosing", this.on);
    if (!this.on) for (const { tick } of this.rows.values()) tick.checked = false;
    this.tell();
  }

  chooseAll() {
    const every = this.chosen.length < this.rows.size;
    for (const { tick } of this.rows.values()) tick.checked = every;
    this.tell();
  }

  tell() {
    const going = this.chosen.filter(([, row]) => !row.ended).length;
    const over = this.chosen.length - going;
    this.node.hidden = this.rows.size === 0 && !this.on;
    for (const each of [this.all, this.cancel, this.remove, this.count]) each.hidden = !this.on;
    this.cancel.disabled = !going;
    this.remove.disabled = !over;
    say(this.cancel, t("cancel_n", { n: going }));
    say(this.remove, t("delete_n", { n: over }));
  }

  async cancelChosen() {
    const going = this.chosen.filter(([, row]) => !row.ended);
    await this.each(going, async ([id, row]) => row.take(await client.cancel(id)));
  }

  async removeChosen() {
    const over = this.chosen.filter(([, row]) => row.ended);
    if (!confirm(t("delete_n_jobs_all_they", { n: over.length }))) return;
    await this.each(over, async ([id]) => {
      await client.remove(id);
      this.drop(id);
    });
  }

  /** Some at a time; the first refusal is shown, and the others go on. */
  async each(entries, act) {
    const waiting = [...entries];
    showProblem(this.problem, null);
    const work = async () => {
      for (let next = waiting.shift(); next; next = waiting.shift()) {
        try {
          await act(next);
          next[1].tick.checked = false;
        } catch (error) {
          showProblem(this.problem, error);
        }
        this.tell();
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  }
}
