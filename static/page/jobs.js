// A list of jobs, newest first, those under way followed live; to search, to filter, to tidy up.

import { questionOf } from "./asked.js";
import { Bulk } from "./bulk.js";
import { card, el, freshId, say } from "./dom.js";
import { duration, moment, percent, t, tText } from "./i18n.js";
import { problemBox, showProblem } from "./problem.js";
import { client, taskTitle, tasks, titleOf } from "./session.js";
import { ACTIVE, TERMINAL, statusMark, statusText } from "./status.js";
import { fold } from "../client/streaming.js";

/** Milliseconds between two looks for jobs that others have started. */
const LOOK_MS = 4000;
/** Rows that stay in the page, however long it is open; jobs that a search looks through at a time. */
const ROWS = 500;
/** What moves a row; text would only cost. */
const TYPES = ["job.started", "job.progress", "job.cancel_requested", "input.requested", "input.received"];

/** The orders beside the list's own, which is the newest first. */
const ORDERS = {
  oldest: (a, b) => (a.id < b.id ? -1 : 1),
  title: (a, b) => titleOf(a).localeCompare(titleOf(b)) || ORDERS.oldest(a, b),
  longest: (a, b) => ranS(b) - ranS(a),
};

/** Seconds that a job has run, until now where it goes on. */
const ranS = ({ started_at, finished_at }) =>
  started_at ? (Date.parse(finished_at ?? new Date()) - Date.parse(started_at)) / 1000 : 0;

export class JobList {
  /** Of one `task`, or with `filters` that stand in the `address`; `view` is where a row leads; `none`: there are no jobs. */
  constructor({ title, limit, filters = false, task, view = "#/jobs", address = "", none = t("no_jobs_yet_start_one") }) {
    this.limit = limit;
    this.only = task;
    this.view = view;
    this.address = address;
    this.none = none;
    this.rows = new Map();
    this.problem = problemBox();
    this.list = el("ul", { className: "jobs" });
    this.empty = el("p", { className: "empty", hidden: true });
    this.more = el("button", { type: "button", hidden: true, onclick: () => this.older() }, t("older_jobs"));
    const given = new URLSearchParams(address ? location.hash.split("?")[1] : "");
    this.search = el("input", { type: "search", id: freshId("search"), value: given.get("q") ?? "", placeholder: t("title_question_or_id"), oninput: () => this.restart() });
    const filter = (title, values, titleOf, name) =>
      choice(title, ["", ...values], titleOf, given.get(name), () => this.restart());
    this.status = filter(t("status"), [...ACTIVE, ...TERMINAL], (each) => (each ? statusText(each) : t("all")), "status");
    this.task = filter(t("task"), tasks.map(({ name }) => name), (each) => (each ? taskTitle(each) : t("all")), "task");
    this.sort = filter(t("sort_by"), Object.keys(ORDERS), (each) => t(each ? `sort_by_${each}` : "sort_by_newest"), "sort");
    this.bulk = new Bulk({ rows: this.rows, list: this.list, drop: (id) => this.drop(id), problem: this.problem });
    const searching = el("div", { className: "field" }, el("label", { htmlFor: this.search.id }, t("search")), this.search);
    const chosen = el("div", { className: "pair", hidden: !filters }, searching, this.status.node, this.task.node, this.sort.node);
    this.node = card(title, "stack", chosen, this.bulk.node, this.problem, this.empty, this.list, this.more);
    this.timer = setInterval(() => document.hidden || this.look(), LOOK_MS);
    this.look();
  }

  restart() {
    this.tellAddress();
    this.clear();
    this.look();
  }

  /** The filters stand in the address, so that it can be kept and passed on. */
  tellAddress() {
    if (!this.address) return;
    const { status, task } = this.query();
    const given = Object.entries({ q: this.wanted, status, task, sort: this.sort.read() }).filter(([, value]) => value);
    const query = new URLSearchParams(given).toString();
    history.replaceState(null, "", query ? `${this.address}?${query}` : this.address);
  }

  get wanted() {
    return this.search.value.trim().toLowerCase();
  }

  query() {
    const limit = this.wanted || this.sort.read() ? ROWS : this.limit;
    return { status: this.status.read(), task: this.only ?? this.task.read(), limit };
  }

  passes(job) {
    const { id, task, input } = job;
    const text = [id, task, titleOf(job), questionOf(input, 10_000)].join(" ").toLowerCase();
    return this.wanted.split(/\s+/).every((each) => text.includes(each));
  }

  /** What is asked for, as one text; null once it is closed. */
  asked() {
    return this.closed ? null : JSON.stringify([this.query(), this.wanted]);
  }

  async look() {
    const asked = this.asked();
    try {
      const { jobs, next_page_token } = await client.jobs(this.query());
      if (asked !== this.asked()) return;
      showProblem(this.problem, null);
      this.take(jobs.filter((each) => this.passes(each)));
      if (this.token !== undefined) return;
      this.token = next_page_token;
      this.more.hidden = !this.token;
      await this.searchOn();
    } catch (error) {
      showProblem(this.problem, error);
    }
  }

  /** New ones on top; what the list does not have any more stays until the filter changes. */
  take(jobs) {
    for (const job of jobs.toReversed()) {
      const known = this.rows.get(job.id);
      if (known) known.take(job);
      else this.add(job, (row) => this.list.prepend(row.node));
    }
    while (this.rows.size > ROWS) this.drop([...this.rows.keys()].toSorted()[0]); // ids begin with their time
    this.arrange();
    this.tellEmpty();
  }

  /** In the order that was chosen, of what is there; nothing moves that need not. */
  arrange() {
    const order = ORDERS[this.sort.read()];
    if (!order) return;
    const rows = [...this.rows.values()].toSorted((a, b) => order(a.job, b.job));
    for (const [place, { node }] of rows.entries()) {
      const there = this.list.children[place];
      if (there !== node) this.list.insertBefore(node, there);
    }
  }

  tellEmpty() {
    this.empty.hidden = this.rows.size > 0;
    this.bulk.tell();
    const { status, task } = this.query();
    const sifted = this.wanted || status || (task && task !== this.only);
    say(this.empty, sifted ? t("no_job_fits") : this.none);
  }

  drop(id) {
    const row = this.rows.get(id);
    row?.close();
    row?.node.remove();
    this.rows.delete(id);
    this.tellEmpty();
  }

  add(job, place) {
    const row = new JobRow(job, this.view, () => this.bulk.tell());
    this.rows.set(job.id, row);
    place(row);
  }

  /** A search that has found nothing yet goes on through the older ones. */
  async searchOn() {
    if (this.wanted && this.rows.size === 0 && this.token) await this.older();
  }

  async older() {
    const asked = this.asked();
    this.more.disabled = true;
    try {
      const { jobs, next_page_token } = await client.jobs({ ...this.query(), page_token: this.token });
      if (asked !== this.asked()) return;
      const fitting = jobs.filter((each) => !this.rows.has(each.id) && this.passes(each));
      for (const job of fitting) this.add(job, (row) => this.list.append(row.node));
      this.token = next_page_token;
      this.more.hidden = !next_page_token;
      this.arrange();
      this.tellEmpty();
      await this.searchOn();
    } catch (error) {
      showProblem(this.problem, error);
    } finally {
      this.more.disabled = false;
    }
  }

  clear() {
    for (const row of this.rows.values()) row.close();
    this.rows.clear();
    this.list.replaceChildren();
    this.token = undefined;
  }

  close() {
    this.closed = true; // an answer may be on its way
    clearInterval(this.timer);
    this.clear();
  }
}

function choice(title, values, titleOf, chosen, onchange) {
  const control = el("select", { id: freshId("filter"), onchange });
  control.append(...values.map((each) => el("option", { value: each, selected: each === chosen }, titleOf(each))));
  const node = el("div", { className: "field" }, el("label", { htmlFor: control.id }, title), control);
  return { node, read: () => control.value || undefined };
}

class JobRow {
  constructor(job, view, chosen) {
    this.mark = statusMark(job.status);
    this.bar = el("progress", { max: 100, ariaLabel: t("progress") });
    this.tick = el("input", { type: "checkbox", ariaLabel: t("choose_title", { title: titleOf(job) }), onchange: chosen });
    const link = el("a", { href: `${job.task === "chat" ? "#/chat" : view}/${job.id}` }, titleOf(job));
    const question = questionOf(job.input);
    this.asked = el("span", { className: "asked-line", dir: "auto" }, question === titleOf(job) ? "" : question);
    this.about = el("span", { className: "hint" });
    this.node = el("li", { data: { job: job.id } }, this.tick, link, this.mark, this.asked, this.about, this.bar);
    this.take(job);
  }

  get ended() {
    return TERMINAL.includes(this.job.status);
  }

  /** A newer state from the list, or from the watch. */
  take(job) {
    if (this.job && job.seq < this.job.seq) return;
    this.job = job;
    this.mark.tell(job.status);
    this.bar.hidden = this.ended || !job.progress.percent;
    this.bar.value = job.progress.percent ?? 0;
    say(this.about, aboutOf(job).join(" · "));
    if (this.ended) this.close();
    else this.watch ??= this.follow(job);
  }

  follow(job) {
    const onEvent = (event) => {
      if (event.seq) this.take(fold(this.job, event));
    };
    return client.watch(job.id, { after: job.seq, types: TYPES, onEvent });
  }

  close() {
    this.watch?.close();
  }
}

/** When it began, its place in the queue, how far it is or how long it ran, why it failed, and the end of its id. */
function aboutOf({ id, status, created_at, started_at, finished_at, queue_position, progress, error, simulated }) {
  const ran = finished_at && ranS({ started_at, finished_at });
  const facts = [
    moment(created_at),
    queue_position > 0 && t("place_n_queue", { n: queue_position }),
    status === "running" && progress.percent > 0 && percent(progress.percent),
    ran && t("ran_time", { time: duration(ran) }),
    error && tText(error.title ?? error.code),
    simulated && t("simulated_model"),
    `…${id.slice(-6)}`,
  ];
  return facts.filter(Boolean);
}
