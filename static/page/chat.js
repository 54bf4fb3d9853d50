// The view of a conversation: everybody who has its address sees the same, and may speak, stop an
// answer, and approve what the model wants to publish.

import { announce } from "./announce.js";
import { Artifacts } from "./artifacts.js";
import { card, el, freshId } from "./dom.js";
import { clock, t } from "./i18n.js";
import { JobList } from "./jobs.js";
import { problemBox, showProblem } from "./problem.js";
import { Prose } from "./prose.js";
import { Question } from "./question.js";
import { client, tasks, writtenBySimulated } from "./session.js";
import { simulatedBadge } from "./simulated.js";
import { forget, keep, restore } from "./typed.js";
import { Viewers } from "./viewers.js";
import { WatchedJob } from "./watched.js";

const TASK = "chat";

/** With an id the conversation, without one the way into one. */
export const chatView = (id) => (id ? new ChatView(id) : new ChatStart());

function nameField() {
  const input = el("input", {
    id: freshId("name"),
    value: localStorage.getItem("name") ?? "",
    maxLength: 100,
    autocomplete: "nickname",
    placeholder: t("nobody_in_particular"),
  });
  input.onchange = () => localStorage.setItem("name", input.value.trim());
  return {
    node: el("div", { className: "field" }, el("label", { htmlFor: input.id }, t("your_name")), input),
    read: () => input.value.trim(),
  };
}

class ChatStart {
  constructor() {
    this.problem = problemBox();
    this.list = new JobList({ title: t("conversations"), limit: 20, task: TASK, view: "#/chat", none: t("no_conversations_yet") });
    this.name = nameField();
    this.message = el("textarea", { id: freshId("message"), rows: 3, maxLength: 20_000 });
    const known = tasks.some(({ name }) => name === TASK);
    this.button = el("button", { className: "main", disabled: !known }, t("begin_a_conversation"));
    const field = el(
      "div",
      { className: "field" },
      el("label", { htmlFor: this.message.id }, t("first_message")),
      this.message,
      el(
        "p",
        { className: "hint" },
        t(
          "ask_anything_begin_publish_model",
        ),
      ),
    );
    const form = el(
      "form",
      { className: "card schema" },
      el("h1", {}, t("chat")),
      this.name.node,
      field,
      this.problem,
      this.button,
    );
    form.onsubmit = (event) => {
      event.preventDefault();
      this.begin();
    };
    this.form = form;
    restore("new conversation", form);
    this.node = el("div", { className: "columns start" }, form, this.list.node);
  }

  async begin() {
    this.button.disabled = true;
    showProblem(this.problem, null);
    try {
      const job = await client.submit({ task: TASK, input: { tokens_per_s: 30 }, timeout_s: 86_400 });
      const message = this.message.value.trim();
      if (message) await client.answer(job.id, { message, by: this.name.read() });
      this.message.value = "";
      location.hash = `#/chat/${job.id}`;
    } catch (error) {
      showProblem(this.problem, error);
    }
    this.button.disabled = false;
  }

  close() {
    keep("new conversation", this.form);
    this.list.close();
  }
}

class ChatView {
  constructor(id) {
    this.id = id;
    this.messages = 0;
    this.answers = new Map();
    this.question = new Question(id);
    this.viewers = new Viewers(id);
    this.artifacts = new Artifacts();
    this.job = new WatchedJob(id, {
      take: (event) => this.take(event),
      draw: (state) => this.draw(state),
    });
    this.node = this.build();
  }

  build() {
    this.problem = problemBox(); // of what was sent
    this.talk = el("div", {
      className: "talk",
      tabIndex: 0,
      role: "log",
      ariaLive: "off",
      ariaLabel: t("conversation"),
    });
    this.empty = el("p", { className: "empty" }, t("nobody_has_said_anything_yet"));
    this.writes = el("p", { className: "hint writes", hidden: true }, t("model_about_answer"));
    this.talk.append(this.empty);
    this.latest = el("button", { type: "button", className: "jump inside", hidden: true, onclick: () => this.follow(true) }, `↓ ${t("jump_to_the_latest")}`);
    this.talk.onscroll = () => this.offerLatest();
    this.simulated = el("div", { hidden: true }, simulatedBadge());
    this.made = card(t("artifacts"), "", this.artifacts.node);
    const log = el("a", { className: "link", href: `#/jobs/${this.id}` }, t("its_log"));
    const main = el(
      "div",
      { className: "stack" },
      el(
        "section",
        { className: "card", ariaLabel: t("conversation") },
        this.talk,
        this.latest,
        this.writes,
        this.question.node,
        this.problem,
        this.buildCompose(),
      ),
      this.made,
    );
    const hint = el(
      "p",
      { className: "hint" },
      t("send_others_pages_address_they"),
    );
    this.watching = card(t("viewers"), "stack", this.viewers.node, hint);
    this.content = el("div", { className: "columns chat", hidden: true }, main, this.watching);
    return el(
      "div",
      { className: "stack" },
      this.job.header(el("h1", {}, t("conversation")), log, this.buildEnd()),
      this.simulated,
      this.job.away,
      this.job.problem,
      this.content,
    );
  }

  buildEnd() {
    this.end = el(
      "button",
      { type: "button", className: "danger", hidden: true, onclick: () => this.send({ end: true }) },
      t("end_the_conversation"),
    );
    return this.end;
  }

  buildCompose() {
    this.name = nameField();
    this.message = el("textarea", { id: freshId("message"), rows: 2, maxLength: 20_000 });
    const label = el(
      "label",
      { htmlFor: this.message.id },
      t("message_enter_sends_shift_enter"),
    );
    this.sender = el("button", { className: "main" }, t("send"));
    this.stop = el(
      "button",
      { type: "button", disabled: true, onclick: () => this.send({ stop: true }) },
      t("stop_the_answer"),
    );
    this.compose = el(
      "form",
      { className: "compose" },
      el("div", { className: "field" }, label, this.message),
      el("div", { className: "line-form" }, this.name.node, this.stop, this.sender),
    );
    restore(`chat ${this.id}`, this.compose);
    this.compose.onsubmit = (event) => {
      event.preventDefault();
      this.speak();
    };
    this.message.onkeydown = (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.speak();
    };
    return this.compose;
  }

  async speak() {
    const message = this.message.value.trim();
    this.speaks = Boolean(message); // what one says oneself, one wants to see
    if (message && (await this.send({ message, by: this.name.read() }))) this.message.value = "";
    forget(`chat ${this.id}`);
    this.message.focus();
  }

  /** Whether it was taken. */
  async send(data) {
    try {
      await client.answer(this.id, data);
      showProblem(this.problem, null);
      return true;
    } catch (error) {
      showProblem(this.problem, error);
      return false;
    }
  }

  take({ type, at, data }) {
    if (type === "job.queued" && data.input.message) this.said(data.input.message, "", at);
    if (type === "input.received") this.heard(data, at);
    if (type === "tool.call") this.note(t("the_model_calls_name", { name: data.name }));
    if (type === "step.updated" && data.status === "completed") announce(t("the_answer_is_complete"));
  }

  /** What somebody has sent: a message, a stop, an end, or a verdict. */
  heard({ request, data, timed_out }, at) {
    if (timed_out) return this.note(t("nobody_answered_in_time"));
    if (request != null) return this.note(data?.approve ? t("answer_approved") : t("answer_refused"));
    if (data.message) return this.said(data.message, data.by, at);
    this.note(data.stop ? t("the_answer_was_stopped") : t("the_conversation_was_ended"));
  }

  said(text, by, at) {
    this.messages += 1;
    const who = by || t("somebody");
    this.put(bubble("person", `${who} · ${clock(at)}`, el("p", { dir: "auto" }, text)));
    announce(`${who}: ${text}`);
  }

  note(text) {
    this.put(el("p", { className: "hint note" }, text));
  }

  /** At the end, which stays in view for whoever is there. */
  put(node) {
    this.empty.hidden = true;
    const near = this.isNear();
    this.talk.append(node);
    this.follow(near || this.speaks);
    this.speaks = false;
  }

  isNear() {
    const { scrollHeight, scrollTop, clientHeight } = this.talk;
    return scrollHeight - scrollTop - clientHeight < 160;
  }

  offerLatest() {
    this.latest.hidden = this.isNear();
  }

  follow(always = false) {
    if (always || this.isNear()) this.talk.scrollTop = this.talk.scrollHeight;
    this.offerLatest();
  }

  draw(state) {
    const { texts, steps, input_request, artifacts } = state;
    const { ended } = this.job;
    this.simulated.hidden = !writtenBySimulated(state);
    const opens = this.content.hidden;
    this.content.hidden = false;
    this.compose.hidden = this.end.hidden = ended;
    let waits = false;
    for (const { item, text } of texts) waits = this.drawAnswer(item, text, ended) || waits;
    const done = steps.filter(({ status }) => status === "completed").length;
    this.stop.disabled = ended || this.messages <= done;
    const turn = steps.find(({ status }) => status === "running");
    this.writes.hidden = this.stop.disabled || this.answers.has(turn?.id) || input_request !== null;
    this.question.draw(input_request);
    this.made.hidden = !artifacts.length;
    this.artifacts.draw(artifacts);
    this.watching.hidden = ended;
    if (ended) this.viewers.close();
    if (opens) this.follow(true);
    if (waits) this.job.redraw();
  }

  drawAnswer(item, text, ended) {
    if (text === "" && !this.answers.has(item)) return false;
    if (!this.answers.has(item)) {
      const prose = new Prose();
      this.answers.set(item, prose);
      this.put(bubble("model", t("model"), prose.node, { item }));
    }
    const prose = this.answers.get(item);
    if (prose.text === text && !prose.unsettled) return false;
    prose.show(text, ended);
    this.follow();
    return prose.unsettled;
  }

  close() {
    keep(`chat ${this.id}`, this.compose);
    this.question.close();
    this.job.close();
    this.viewers.close();
  }
}

/** What somebody says, under a line about who it is. */
const bubble = (who, about, content, data = {}) =>
  el("div", { className: `said-by ${who}`, data }, el("span", { className: "hint" }, about), content);
