// The view of a conversation: everybody who has its address sees the same, and may speak, stop an
// answer, and approve what the model wants to publish.

import { announce } from "./announce.js";
import { Artifacts } from "./artifacts.js";
import { el, freshId, perFrame, say } from "./dom.js";
import { t } from "./i18n.js";
import { JobList } from "./jobs.js";
import { problemBox, showProblem } from "./problem.js";
import { Prose } from "./prose.js";
import { Question } from "./question.js";
import { client, tasks } from "./session.js";
import { Connection, TERMINAL, statusMark, statusText } from "./status.js";
import { fold } from "./streaming.js";
import { Viewers } from "./viewers.js";

const TASK = "chat";

/** With an id the conversation, without one the way into one. */
export const chatView = (id) => (id ? new ChatView(id) : new ChatStart());

function nameField() {
  const input = el("input", {
    id: freshId("name"),
    value: localStorage.getItem("name") ?? "",
    maxLength: 100,
    autocomplete: "nickname",
    placeholder: t("nobody in particular"),
  });
  input.onchange = () => localStorage.setItem("name", input.value.trim());
  return {
    node: el("div", { className: "field" }, el("label", { htmlFor: input.id }, t("Your name")), input),
    read: () => input.value.trim(),
  };
}

class ChatStart {
  constructor() {
    this.problem = problemBox();
    this.list = new JobList({ title: t("Conversations"), limit: 20, task: TASK, view: "#/chat" });
    this.name = nameField();
    this.message = el("textarea", { id: freshId("message"), rows: 3, maxLength: 20_000 });
    const known = tasks.some(({ name }) => name === TASK);
    this.button = el("button", { className: "main", disabled: !known }, t("Begin a conversation"));
    const field = el(
      "div",
      { className: "field" },
      el("label", { htmlFor: this.message.id }, t("First message")),
      this.message,
      el(
        "p",
        { className: "hint" },
        t(
          "Ask for anything; begin with “publish:” and the model asks for your approval. Others join by this page's address.",
        ),
      ),
    );
    const form = el(
      "form",
      { className: "card schema" },
      el("h1", {}, t("Chat")),
      this.name.node,
      field,
      this.problem,
      this.button,
    );
    form.onsubmit = (event) => {
      event.preventDefault();
      this.begin();
    };
    this.node = el("div", { className: "columns start" }, form, this.list.node);
  }

  async begin() {
    this.button.disabled = true;
    showProblem(this.problem, null);
    try {
      const job = await client.submit({ task: TASK, input: { tokens_per_s: 30 }, timeout_s: 86_400 });
      const message = this.message.value.trim();
      if (message) await client.answer(job.id, { message, by: this.name.read() });
      location.hash = `#/chat/${job.id}`;
    } catch (error) {
      showProblem(this.problem, error);
    }
    this.button.disabled = false;
  }

  close() {
    this.list.close();
  }
}

class ChatView {
  constructor(id) {
    this.id = id;
    this.job = null;
    this.messages = 0;
    this.answers = new Map();
    this.connection = new Connection();
    this.question = new Question(id);
    this.viewers = new Viewers(id);
    this.artifacts = new Artifacts();
    this.node = this.build();
    this.redraw = perFrame(() => this.draw());
    this.watch = client.watch(id, {
      after: 0,
      onEvent: (event) => this.take(event),
      onState: (state) => this.connected(state),
    });
  }

  build() {
    this.mark = statusMark("queued");
    this.problem = problemBox();
    this.talk = el("div", {
      className: "talk",
      tabIndex: 0,
      role: "log",
      ariaLive: "off",
      ariaLabel: t("Conversation"),
    });
    this.made = el(
      "section",
      { className: "card", ariaLabel: t("Artifacts"), hidden: true },
      el("h2", {}, t("Artifacts")),
      this.artifacts.node,
    );
    const log = el("a", { className: "link", href: `#/jobs/${this.id}` }, t("Its log"));
    const head = el(
      "header",
      { className: "bar" },
      el("h1", {}, t("Conversation")),
      this.mark,
      this.connection.node,
      el("span", { className: "end" }, log),
    );
    const main = el(
      "div",
      { className: "stack" },
      el(
        "section",
        { className: "card", ariaLabel: t("Conversation") },
        head,
        this.talk,
        this.question.node,
        this.buildCompose(),
      ),
      this.problem,
      this.made,
    );
    const side = el(
      "div",
      { className: "stack" },
      el(
        "section",
        { className: "card", ariaLabel: t("Viewers") },
        el("h2", {}, t("Viewers")),
        this.viewers.node,
        el(
          "p",
          { className: "hint" },
          t("Send others this page's address: they see the same, and may speak."),
        ),
      ),
    );
    return el("div", { className: "columns chat" }, main, side);
  }

  buildCompose() {
    this.name = nameField();
    this.message = el("textarea", { id: freshId("message"), rows: 2, maxLength: 20_000 });
    const label = el(
      "label",
      { htmlFor: this.message.id },
      t("Message (Enter sends, Shift+Enter begins a line)"),
    );
    this.sender = el("button", { className: "main" }, t("Send"));
    this.stop = el(
      "button",
      { type: "button", disabled: true, onclick: () => this.send({ stop: true }) },
      t("Stop the answer"),
    );
    this.end = el(
      "button",
      { type: "button", className: "danger", onclick: () => this.send({ end: true }) },
      t("End the conversation"),
    );
    this.compose = el(
      "form",
      { className: "compose" },
      el("div", { className: "field" }, label, this.message),
      el("div", { className: "line-form" }, this.name.node, this.sender, this.stop, this.end),
    );
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
    if (message && (await this.send({ message, by: this.name.read() }))) this.message.value = "";
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

  take(event) {
    this.job = event.type === "stream.snapshot" ? event.data.job : fold(this.job, event);
    const { type, data } = event;
    if (type === "job.queued" && data.input.message) this.said(data.input.message, "");
    if (type === "input.received") this.heard(data);
    if (type === "tool.call") this.note(t("The model calls {name}", { name: data.name }));
    if (type === "step.updated" && data.status === "completed") announce(t("The answer is complete."));
    this.redraw();
  }

  /** What somebody has sent: a message, a stop, an end, or a verdict. */
  heard({ request, data, timed_out }) {
    if (timed_out) return this.note(t("Nobody answered in time."));
    if (request != null) return this.note(data?.approve ? t("Approved.") : t("Refused."));
    if (data.message) return this.said(data.message, data.by);
    this.note(data.stop ? t("The answer was stopped.") : t("The conversation was ended."));
  }

  said(text, by) {
    this.messages += 1;
    this.put(
      el(
        "div",
        { className: "said-by person" },
        el("span", { className: "hint" }, by || t("somebody")),
        el("p", {}, text),
      ),
    );
    announce(`${by || t("somebody")}: ${text}`);
  }

  note(text) {
    this.put(el("p", { className: "hint" }, text));
  }

  /** At the end, which stays in view for whoever is there. */
  put(node) {
    this.talk.append(node);
    this.follow(true);
  }

  follow(always = false) {
    const { scrollHeight, scrollTop, clientHeight } = this.talk;
    if (always || scrollHeight - scrollTop - clientHeight < 160) this.talk.scrollTop = scrollHeight;
  }

  connected(state) {
    this.connection.tell(state);
    if (state.problem && state.reason === "refused") showProblem(this.problem, state.problem);
  }

  draw() {
    const { job } = this;
    if (!job) return;
    const ended = TERMINAL.includes(job.status);
    this.mark.tell(job.status);
    this.compose.hidden = ended;
    let waits = false;
    for (const { item, text } of job.texts) waits = this.drawAnswer(item, text, ended) || waits;
    const done = job.steps.filter(({ status }) => status === "completed").length;
    this.stop.disabled = ended || this.messages <= done;
    this.question.draw(job.input_request);
    this.made.hidden = !job.artifacts.length;
    this.artifacts.draw(job.artifacts);
    if (job.error) showProblem(this.problem, job.error);
    document.title = `${t("Conversation")} · ${statusText(job.status)}`;
    if (waits) this.redraw();
  }

  drawAnswer(item, text, ended) {
    if (text === "" && !this.answers.has(item)) return false;
    if (!this.answers.has(item)) {
      const prose = new Prose();
      this.answers.set(item, prose);
      this.put(
        el(
          "div",
          { className: "said-by model", data: { item } },
          el("span", { className: "hint" }, t("model")),
          prose.node,
        ),
      );
    }
    const prose = this.answers.get(item);
    if (prose.text === text && !prose.unsettled) return false;
    prose.show(text, ended);
    this.follow();
    return prose.unsettled;
  }

  close() {
    this.watch.close();
    this.redraw.cancel();
    this.connection.close();
    this.viewers.close();
  }
}
