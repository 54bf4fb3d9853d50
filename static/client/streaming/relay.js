// The watches of one tab that get their events from the tab that leads: a channel without a connection of
// its own. What a watch lacks when it joins, or when another tab takes the lead, it fetches page by page.
/** @import {Http} from "./http.js" */
/** @import {Tabs} from "./tabs.js" */
/** @import {StreamEvent, WatchState} from "./types.js" */
/** @import {Watch} from "./watch.js" */

import { bytesIn } from "./addresses.js";
import { Problem, problemOf, queryOf } from "./http.js";

/** Milliseconds without a word from who leads until it is asked whether it is there; and in which it must answer. */
const QUIET_MS = 5000, ANSWER_MS = 5000;
/** Milliseconds that a tab without watches goes on: the next view most often has some. */
const LINGER_MS = 1000;
/** Events in a page of what is fetched; seconds until another try, at most. */
const PAGE = 500, LONGEST_S = 10;

export class Relay {
  #http;
  #tabs;
  /** @type {Map<string, Member>} */
  #members = new Map();
  /** @type {Map<Watch, Member>} */
  #byWatch = new Map();
  #count = 0;
  #heardAt = Date.now();
  #askedAt = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #linger;

  /** @param {Http} http @param {(hear: (message: any) => void) => Tabs} meet */
  constructor(http, meet) {
    this.#http = http;
    this.#tabs = meet((message) => this.#hear(message));
  }

  /** @param {Watch} watch */
  add(watch) {
    clearTimeout(this.#linger);
    const id = `${this.#tabs.id}:${++this.#count}`;
    const member = new Member(id, watch, this.#http, (message) => this.#tabs.send(message));
    this.#members.set(id, member);
    this.#byWatch.set(watch, member);
    if (!this.#tabs.runs) this.#heardAt = Date.now();
    this.#tabs.start();
    member.join();
  }

  /** @param {Watch} watch */
  remove(watch) {
    const member = this.#byWatch.get(watch);
    if (!member) return;
    member.leave();
    this.#byWatch.delete(watch);
    this.#members.delete(member.id);
    if (this.#members.size > 0) return;
    this.#linger = setTimeout(() => this.#members.size === 0 && this.#tabs.stop(), LINGER_MS);
  }

  /** Leave the other tabs at once. */
  close() {
    clearTimeout(this.#linger);
    this.#tabs.stop();
  }

  /** Lose the connection that all tabs share. @param {Watch} watch */
  cut(watch) {
    this.#tabs.send({ op: "cut", job: watch.job });
  }

  /** @param {Watch} watch */
  retry(watch) {
    this.#byWatch.get(watch)?.retry();
    this.#tabs.send({ op: "retry", job: watch.job });
  }

  /** @param {boolean} held @param {Watch} watch */
  hold(held, watch) {
    this.#byWatch.get(watch)?.rest(held ? { name: "waiting", reason: "paused" } : null);
  }

  /** @param {boolean} offline @param {Watch} watch */
  offline(offline, watch) {
    this.#byWatch.get(watch)?.rest(offline ? { name: "offline", reason: "asked" } : null);
  }

  /** The page is seen again, or has slept. */
  wake() {
    if (this.#members.size > 0 && !this.#tabs.runs) { // it was kept for the back button
      this.#tabs.start();
      this.#joinAgain();
    }
    this.#tabs.send({ op: "wake" });
  }

  /** Time has passed: does the tab that leads still answer? */
  tick() {
    if (this.#members.size === 0 || this.#tabs.leads || document.visibilityState === "hidden") return;
    const now = Date.now();
    if (now - this.#heardAt < QUIET_MS) return;
    if (this.#askedAt < this.#heardAt) {
      this.#askedAt = now;
      this.#tabs.send({ op: "ping" });
    } else if (now - this.#askedAt > ANSWER_MS) {
      this.#heardAt = now;
      this.#tabs.seize();
    }
  }

  /** @param {any} message */
  #hear(message) {
    this.#heardAt = Date.now();
    if (message.op === "leader") this.#joinAgain();
    else this.#members.get(message.id)?.take(message);
  }

  #joinAgain() {
    for (const member of this.#members.values()) member.join();
  }
}

/** One watch among those of all tabs. */
class Member {
  #http;
  #send;
  /** @type {StreamEvent[]} what came while it fetched */
  #waiting = [];
  #until = 0;
  #fetching = false;
  #failures = 0;
  #live = false;
  /** @type {Omit<WatchState, "transport"> | null} why it rests, if it does */
  #rests = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {WatchState["transport"]} */
  #transport = "sse";

  /** @param {string} id @param {Watch} watch @param {Http} http @param {(message: any) => void} send */
  constructor(id, watch, http, send) {
    this.id = id;
    this.watch = watch;
    this.#http = http;
    this.#send = send;
  }

  /** From the watch's position, wherever it is. */
  async join() {
    if (this.#rests) return;
    clearTimeout(this.#timer);
    this.#live = false;
    try {
      await this.watch.begin(this.#http);
    } catch (error) {
      return this.#failed(error, () => this.join());
    }
    if (this.watch.ended || this.#rests) return;
    const { job, types, position } = this.watch;
    this.#send({ op: "join", id: this.id, job, types, after: position });
  }

  leave() {
    clearTimeout(this.#timer);
    this.#waiting = [];
    this.#send({ op: "leave", id: this.id });
  }

  /** Read nothing for now; null goes on. @param {Omit<WatchState, "transport"> | null} why */
  rest(why) {
    const before = this.#rests;
    this.#rests = why;
    if (why) {
      this.leave();
      this.watch.tell({ ...why, transport: this.#transport });
    } else if (before) this.join();
  }

  /** Try now what waits for a later try. */
  retry() {
    if (!this.#timer) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.join();
  }

  /** @param {any} message */
  take({ op, state, position, event }) {
    if (this.#rests || this.watch.ended) return;
    if (op === "state") this.#stands(state);
    else if (op === "at") this.#admitted(position);
    else if (op === "event") this.#receive(event);
  }

  /** The tab that leads follows the job for us, from this position on. @param {number} position */
  #admitted(position) {
    this.watch.stats.requests += 1;
    this.#fetch(position);
  }

  /** @param {any} state */
  #stands({ refusal, ...state }) {
    const problem = refusal && new Problem(refusal.status, refusal.problem, refusal.retryAfterS);
    this.#transport = state.transport;
    if (state.name === "closed" && problem) return this.watch.refuse(problem);
    if (state.name === "closed") return state.reason === "ended" ? this.#fetch(Infinity) : undefined;
    if (state.name === "live" && !this.#live) this.watch.connected();
    this.#live = state.name === "live";
    this.watch.tell({ ...state, problem });
  }

  /** All that comes follows upon the position that it was told when it joined. @param {StreamEvent} event */
  #receive(event) {
    const position = this.watch.position ?? 0;
    if (event.seq === undefined) return this.watch.receive(event, bytesOf(event));
    if (event.seq <= position) return;
    // One that stands for several, of which some are here already, cannot be taken apart.
    const fits = (event.from ?? event.seq) > position;
    if (fits && !this.#fetching) return this.watch.receive(event, bytesOf(event));
    this.#waiting.push(event);
    if (!fits) this.#fetch(event.seq);
  }

  /** Fetch what is missing up to a position; then what came meanwhile goes on. @param {number} until */
  async #fetch(until) {
    this.#until = Math.max(this.#until, until);
    if (this.#fetching || (this.watch.position ?? 0) >= this.#until) return;
    this.#fetching = true;
    try {
      while (!this.watch.ended && (this.watch.position ?? 0) < this.#until && (await this.#page()));
      this.#failures = 0;
    } catch (error) {
      this.#waiting = [];
      this.#failed(error, () => this.join());
    } finally {
      this.#fetching = false;
      this.#until = 0;
    }
    for (const event of this.#waiting.splice(0)) this.#receive(event);
  }

  /** One page; whether there may be more. */
  async #page() {
    const { watch } = this;
    const query = queryOf({ after: watch.position ?? 0, wait: 0, limit: PAGE, types: watch.types.join() });
    watch.stats.requests += 1;
    const page = await this.#http.json("GET", `/jobs/${encodeURIComponent(watch.job)}/poll?${query}`);
    if (this.#rests) return false;
    for (const event of page.events) watch.receive(event, bytesOf(event));
    watch.moved(page.next);
    if (page.closed) watch.over();
    return page.events.length > 0 && !page.closed;
  }

  /** @param {unknown} error @param {() => void} again */
  #failed(error, again) {
    const problem = problemOf(error);
    if (this.watch.ended) return;
    if (!problem.retryable) return this.watch.refuse(problem);
    this.#failures += 1;
    const waitS = Math.max(problem.retryAfterS ?? 0, Math.min(LONGEST_S, 0.5 * 2 ** this.#failures));
    this.#timer = setTimeout(() => { this.#timer = undefined; again(); }, waitS * 1000);
    const reason = problem.status ? "busy" : "away";
    this.watch.tell({ name: "waiting", transport: this.#transport, reason, problem, retryAt: Date.now() + waitS * 1000 });
  }
}

/** @param {StreamEvent} event */
const bytesOf = (event) => bytesIn(JSON.stringify(event));
