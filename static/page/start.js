// The first view: start a job, with one click or from its task's form, and the jobs there are.

import { card, el, freshId } from "./dom.js";
import { SchemaForm } from "./form.js";
import { t, tText } from "./i18n.js";
import { JobList } from "./jobs.js";
import { PRESETS, prepared } from "./presets.js";
import { problemBox, showProblem } from "./problem.js";
import { client, tasks, upload } from "./session.js";
import { forget, keep, restore } from "./typed.js";

/** Views of their own for tasks that are more than a job to watch. */
const VIEWS = { chat: "#/chat", monitor: "#/monitor" };

/** Inputs to begin with, so that a form can be sent as it is. */
const EXAMPLES = Object.fromEntries(PRESETS.toReversed().map(({ task, input }) => [task, plainPart(input)]));

function plainPart(input) {
  return Object.fromEntries(
    Object.entries(input).filter(([, each]) => !Array.isArray(each) && typeof each !== "function"),
  );
}

/** What was typed for each task in this visit, and the input of a job that is to be run again. */
const drafts = new Map();

/** Have the form of a task begin with this input. */
export function keepDraft(task, input) {
  forget(`form ${task}`);
  drafts.set(task, input);
  drafts.set("", task);
}

export class StartView {
  constructor() {
    this.problem = problemBox();
    this.select = el("select", { id: freshId("task"), onchange: () => this.choose(this.select.value) });
    this.select.append(...inOrder(tasks).map(({ name, title }) => el("option", { value: name }, tText(title))));
    this.about = el("p", { className: "hint" });
    this.place = el("div");
    this.list = new JobList({ title: t("jobs"), limit: 15, filters: true, address: "#/" });
    this.node = el(
      "div",
      { className: "stack" },
      this.drawHero(),
      this.drawPresets(),
      el("div", { className: "columns start" }, this.drawForm(), this.list.node),
    );
    this.choose(drafts.get("") ?? this.select.value);
  }

  drawPresets() {
    const known = new Set(tasks.map(({ name }) => name));
    const items = PRESETS.filter(({ task }) => known.has(task)).map((preset) => {
      const about = el("span", { className: "hint" }, tText(preset.about));
      const button = el(
        "button",
        { type: "button", data: { preset: preset.name } },
        el("b", {}, tText(preset.title)),
        about,
      );
      button.onclick = () => this.startPreset(preset, button);
      return el("li", {}, button);
    });
    const intro = el("p", { className: "intro" }, t("start_example_one_click"));
    return el(
      "section",
      { className: "stack tight", ariaLabel: t("examples") },
      intro,
      el("ul", { className: "presets" }, items),
      this.problem,
    );
  }

  /** What this is, and a question to try it with. */
  drawHero() {
    const ask = el("textarea", { id: freshId("ask"), rows: 2, maxLength: 4000, dir: "auto", placeholder: t("why_do_tides_come_twice") });
    const button = el("button", { className: "main" }, t("ask"));
    const form = el("form", { className: "ask-line" }, el("label", { className: "unseen", htmlFor: ask.id }, t("ask_something")), ask, button);
    form.onsubmit = (event) => {
      event.preventDefault();
      this.ask(ask.value.trim() || ask.placeholder, button);
    };
    ask.onkeydown = (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      form.requestSubmit();
    };
    this.hero = form;
    restore("ask", form);
    const points = [
      t("ask_something_takes_while"),
      t("cut_your_connection_close_tab"),
      t("come_back_every_word_there"),
    ];
    return el(
      "section",
      { className: "hero", hidden: !tasks.some(({ name }) => name === "generate") },
      el("h1", {}, t("long_answers_survive_everything")),
      el("ol", {}, points.map((each) => el("li", {}, each))),
      form,
      el("p", { className: "hint" }, t("want_see_side_side"), " ", el("a", { href: "#/compare" }, t("cut_every_kind_connection_compare"))),
    );
  }

  async ask(prompt, button) {
    button.disabled = true;
    showProblem(this.problem, null);
    try {
      const title = prompt.length > 80 ? `${prompt.slice(0, 79)}…` : prompt;
      await start({ task: "generate", title, input: { prompt, max_tokens: 400, tokens_per_s: 20 } });
      forget("ask");
      this.asked = true;
    } catch (error) {
      showProblem(this.problem, error);
    }
    button.disabled = false;
  }

  drawForm() {
    const head = el(
      "div",
      { className: "field" },
      el("label", { htmlFor: this.select.id }, t("task")),
      this.select,
      this.about,
    );
    return card(t("start_a_job"), "stack", head, this.place);
  }

  async startPreset({ task, input, times = 1 }, button) {
    button.disabled = true;
    showProblem(this.problem, null);
    try {
      const request = { task, input: await prepared(input, upload) };
      if (times > 1) await startMany(request, times);
      else await start(request);
    } catch (error) {
      showProblem(this.problem, error);
    } finally {
      button.disabled = false;
    }
  }

  /** What was typed stays, for each task, until it is sent. */
  keepTyped() {
    if (this.form) keep(`form ${this.select.dataset.chosen}`, this.form.node);
  }

  choose(name) {
    this.keepTyped();
    const task = tasks.find((each) => each.name === name);
    this.select.value = this.select.dataset.chosen = task.name;
    drafts.set("", task.name);
    this.about.textContent = tText(task.description);
    const given = drafts.get(task.name) ?? EXAMPLES[task.name] ?? {};
    const options = new Options();
    this.form = new SchemaForm(task.input_schema, {
      prefix: "input",
      given,
      label: t("start"),
      upload,
      extra: [options.node],
      submit: async (input) => {
        await start({ task: task.name, input, ...options.read() });
        keepDraft(task.name, input);
        this.form = null;
      },
    });
    restore(`form ${task.name}`, this.form.node);
    this.place.replaceChildren(this.form.node);
  }

  close() {
    this.keepTyped();
    if (!this.asked) keep("ask", this.hero);
    this.list.close();
  }
}

/** Those with an example first, in the order of the examples. */
function inOrder(all) {
  const place = ({ name }) =>
    (PRESETS.findIndex(({ task }) => task === name) + PRESETS.length + 1) % (PRESETS.length + 1);
  return all.toSorted((a, b) => place(a) - place(b));
}

/** Start a job and go to where it is watched. */
async function start(request) {
  const job = await client.submit(request, { idempotencyKey: crypto.randomUUID?.() });
  location.hash = VIEWS[job.task] ? `${VIEWS[job.task]}/${job.id}` : `#/jobs/${job.id}`;
}

/** Start a job several times, and go to where all jobs are. */
async function startMany(request, times) {
  const texts = Array.from({ length: times }, (_, number) => ({
    ...request,
    input: { ...request.input, seed: number },
  }));
  await Promise.all(texts.map((each) => client.submit(each, { idempotencyKey: crypto.randomUUID?.() })));
  location.hash = "#/monitor";
}

/** How a job runs, whatever its task. */
class Options {
  constructor() {
    this.title = el("input", { id: freshId("title"), type: "text", maxLength: 200, autocomplete: "off" });
    this.timeout = el("input", {
      id: freshId("timeout"),
      type: "number",
      min: "1",
      max: "604800",
      placeholder: "3600",
    });
    this.cancels = el("input", { id: freshId("cancels"), type: "checkbox" });
    const tick = el(
      "div",
      { className: "field tick" },
      this.cancels,
      el("label", { htmlFor: this.cancels.id }, t("cancel_when_nobody_watches")),
    );
    const time = el(
      "div",
      { className: "field" },
      el("label", { htmlFor: this.timeout.id }, t("time_limit_seconds")),
      this.timeout,
    );
    this.node = el(
      "details",
      { className: "fold" },
      el("summary", {}, t("options")),
      el("div", { className: "group" }, el("div", { className: "field" }, el("label", { htmlFor: this.title.id }, t("name_of_the_job")), this.title), time, tick),
    );
  }

  read() {
    const found = {};
    if (this.title.value.trim()) found.title = this.title.value.trim();
    if (this.timeout.value) found.timeout_s = Number(this.timeout.value);
    if (this.cancels.checked) found.on_disconnect = "cancel";
    return found;
  }
}
