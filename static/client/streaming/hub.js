// The hub of the tab that leads: one watch for each job, over shared connections, for all tabs that follow it.
/** @import {Http} from "./http.js" */
/** @import {StreamEvent, Transport, WatchState} from "./types.js" */

import { Channels } from "./channels.js";
import { TERMINAL } from "./fold.js";
import { Watch } from "./watch.js";

/** @typedef {{id: string, tab: string, types: string[]}} Follower */
/** @typedef {(tab: string, message: any) => void} Post */

export class Hub {
  #transports;
  #channels;
  #post;
  /** @type {Map<string, Upstream>} by job */
  #upstreams = new Map();

  /** @param {Http} http @param {Transport[]} transports @param {Post} post */
  constructor(http, transports, post) {
    this.#transports = transports;
    this.#channels = new Channels(http);
    this.#post = post;
  }

  get channels() {
    return this.#channels;
  }

  /** @param {any} message */
  take(message) {
    const { op, tab } = message;
    if (op === "join") this.#join(message);
    else if (op === "leave") this.#leave((each) => each.id === message.id);
    else if (op === "cut") this.#upstreams.get(message.job)?.watch.cut();
    else if (op === "retry") this.#upstreams.get(message.job)?.watch.retry();
    else if (op === "wake") this.#channels.each((channel) => channel.wake());
    else if (op === "ping") {
      // The timers of a tab in the background hardly run: those who are seen keep it going.
      this.#channels.each((channel) => channel.tick());
      this.#post(tab, { op: "pong" });
    }
  }

  /** @param {string} tab */
  drop(tab) {
    this.#leave((each) => each.tab === tab);
  }

  close() {
    for (const each of this.#upstreams.values()) each.close();
    this.#upstreams.clear();
    this.#channels.close();
  }

  /** @param {{id: string, tab: string, job: string, types: string[], after: number}} message */
  #join({ id, tab, job, types, after }) {
    const known = this.#upstreams.get(job);
    const upstream = known ?? new Upstream(job, {
      post: this.#post,
      place: (watch) => this.#channels.shared(this.#transports, watch.job),
      over: () => this.#upstreams.delete(job),
    });
    this.#upstreams.set(job, upstream);
    upstream.add({ id, tab, types }, after);
  }

  /** @param {(follower: Follower) => boolean} which */
  #leave(which) {
    for (const [job, upstream] of [...this.#upstreams]) {
      upstream.remove(which);
      if (!upstream.isEmpty) continue;
      upstream.close();
      this.#upstreams.delete(job);
    }
  }
}

/** The watch of one job, and who follows it. */
class Upstream {
  #job;
  #plan;
  /** @type {Map<string, Follower>} */
  #followers = new Map();
  /** @type {Watch | null} */
  #watch = null;
  #types = "";
  #position = 0;
  /** @type {WatchState | null} */
  #state = null;

  /**
   * @param {string} job
   * @param {{post: Post, place: (watch: Watch) => any, over: () => void}} plan
   */
  constructor(job, plan) {
    this.#job = job;
    this.#plan = plan;
  }

  get watch() {
    return /** @type {Watch} */ (this.#watch);
  }

  get isEmpty() {
    return this.#followers.size === 0;
  }

  /** @param {Follower} follower @param {number} after what it has */
  add(follower, after) {
    this.#followers.set(follower.id, follower);
    if (this.#watch === null) this.#position = after;
    this.#attune();
    // Where it stands, so that who is behind fetches what is missing.
    this.#tell(follower, { op: "at", position: this.#position });
    if (this.#state) this.#tell(follower, { op: "state", state: this.#state });
  }

  /** @param {(follower: Follower) => boolean} which */
  remove(which) {
    const gone = [...this.#followers.values()].filter(which);
    for (const { id } of gone) this.#followers.delete(id);
    if (gone.length > 0 && !this.isEmpty) this.#attune();
  }

  close() {
    const watch = this.#watch;
    this.#watch = null;
    watch?.close();
  }

  /** Watch with the types that the followers want, together; from where it is. */
  #attune() {
    const wanted = [...this.#followers.values()].map(({ types }) => types);
    const types = wanted.some((each) => each.length === 0) ? [] : [...new Set(wanted.flat())].sort();
    if (this.#watch !== null && types.join() === this.#types) return;
    this.close();
    this.#types = types.join();
    /** @type {Watch} */
    const watch = new Watch(this.#job, {
      after: this.#position,
      types,
      onEvent: (event) => watch === this.#watch && this.#took(event),
      onState: (state) => watch === this.#watch && this.#stands(state),
    }, { join: this.#plan.place, over: () => {} });
    this.#watch = watch;
  }

  /** @param {StreamEvent} event */
  #took(event) {
    this.#position = this.watch.position ?? this.#position;
    if (event.type === "stream.gap") return; // a snapshot follows
    const message = event.type === "stream.snapshot"
      ? { op: "at", position: this.#position } // each fetches the state behind its own position
      : { op: "event", event };
    for (const follower of this.#followers.values()) {
      if (wants(follower, event.type)) this.#tell(follower, message);
    }
  }

  /** @param {WatchState} state */
  #stands({ problem, ...state }) {
    // An error does not keep its members on the way to another tab.
    const told = problem ? { ...state, refusal: { status: problem.status, problem: problem.problem, retryAfterS: problem.retryAfterS } } : state;
    this.#state = /** @type {any} */ (told);
    for (const follower of this.#followers.values()) this.#tell(follower, { op: "state", state: told });
    if (state.name === "closed") this.#plan.over();
  }

  /** @param {Follower} follower @param {any} message */
  #tell({ id, tab }, message) {
    this.#plan.post(tab, { ...message, id });
  }
}

/** Terminal events and word about the stream are for everybody. @param {Follower} follower @param {string} type */
function wants({ types }, type) {
  return types.length === 0 || types.includes(type) || type.startsWith("stream.") || TERMINAL.includes(type);
}
