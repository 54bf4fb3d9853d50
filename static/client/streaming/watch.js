// A watch: a reader of one job. It has a position, gives each event once and in order, and counts.
/** @import {Http} from "./http.js" */
/** @import {StreamEvent, Transport, WatchOptions, WatchState, WatchStats} from "./types.js" */

import { ENDED, TERMINAL } from "./fold.js";
import { Problem } from "./http.js";

/**
 * What brings a watch its events: a channel, or a relay. One without `use` cannot change its transport.
 * @typedef {object} Carrier
 * @property {(watch: any) => void} add
 * @property {(watch: any) => void} remove
 * @property {(watch: any) => void} cut
 * @property {(watch: any) => void} retry
 * @property {(held: boolean, watch: any) => void} hold
 * @property {(offline: boolean, watch: any) => void} offline
 * @property {(transport: Transport) => void} [use]
 */

/** Events that wait for an iterator: above, the connection is let go; below, it is taken up again. */
const FULL = 1000, ROOM = 100;

export class Watch {
  /** @type {WatchOptions} */
  #options;
  /** @type {number | null} */
  #position;
  /** @type {WatchState} */
  #state;
  #began = performance.now();
  #connections = 0;
  /** @type {Carrier | null} */
  #channel = null;
  /** @type {{join: (watch: Watch) => Carrier, over: (watch: Watch) => void}} */
  #owner;
  /** Whether the queue is full, and it has left its channel for that. */
  #full = false;
  /** @type {StreamEvent[]} */
  #queue = [];
  #iterated = false;
  #news = () => {};
  #told = false;

  /**
   * @param {string} job
   * @param {WatchOptions} options
   * @param {{join: (watch: Watch) => Carrier, over: (watch: Watch) => void}} owner finds it a channel
   */
  constructor(job, options, owner) {
    this.job = job;
    this.#options = options;
    this.#position = options.after ?? (options.from && options.from !== "start" ? null : 0);
    this.#state = { name: "connecting", transport: options.transport ?? "sse" };
    this.#owner = owner;
    /** @type {WatchStats} */
    this.stats = {
      events: 0, bytes: 0, requests: 0, reconnects: 0, firstEventMs: null, lost: 0, repeated: 0,
    };
    /** The last `stream.degraded`: by how much the server gives less, and why. Level 0: all is well. */
    this.degraded = { level: 0, why: "" };
    // Later, so that what it calls already knows it.
    queueMicrotask(() => this.#join());
  }

  /** The seq up to which all is there; null while `from` is being found out. */
  get position() {
    return this.#position;
  }

  get state() {
    return this.#state;
  }

  /** Whether the job has ended and all is there, or the watch is over for another reason. */
  get ended() {
    return this.#state.name === "closed";
  }

  /** The options' types. */
  get types() {
    return this.#options.types ?? [];
  }

  get options() {
    return this.#options;
  }

  /** Stop watching. The job goes on. */
  close() {
    this.#close({ reason: "closed" });
  }

  // What follows acts on the connection: of a shared one, on all that share it.

  /** Lose the connection, as by a network that fails; it comes back by itself. */
  cut() {
    this.#channel?.cut(this);
  }

  /** Go on over another transport, from the same position. @param {Transport} transport */
  use(transport) {
    if (this.#channel?.use) return this.#channel.use(transport);
    this.#channel?.remove(this);
    this.#options = { ...this.#options, transport };
    this.#join();
  }

  /** Try now, where it waits for a later try. */
  retry() {
    this.#channel?.retry(this);
  }

  /** Read no more for now: over `ndjson` and `poll` the server sees a slow reader; else the connection is let go. */
  pause() {
    this.#channel?.hold(true, this);
  }

  resume() {
    this.#channel?.hold(false, this);
  }

  /** Be offline, as a device without a network, or back. @param {boolean} offline */
  offline(offline) {
    this.#channel?.offline(offline, this);
  }

  /**
   * The events, for `for await`. It ends with the watch, and throws a `Problem` when the server refuses.
   * A slow loop costs no memory: the connection is let go and taken up again.
   * @returns {AsyncGenerator<StreamEvent, void, void>}
   */
  async *[Symbol.asyncIterator]() {
    this.#iterated = true;
    try {
      while (true) {
        const event = this.#queue.shift();
        if (event !== undefined) {
          yield event;
          if (this.#full && this.#queue.length < ROOM) this.#join();
        } else if (this.ended) {
          if (this.#state.problem) throw this.#state.problem;
          return;
        } else {
          await new Promise((resolve) => { this.#news = () => resolve(undefined); });
        }
      }
    } finally {
      this.close();
    }
  }

  // What follows is for its channel.

  /** Find out where to begin. @param {Http} http */
  async begin(http) {
    if (this.#position !== null) return;
    this.stats.requests += 1;
    const job = await this.#ask(() => http.json("GET", `/jobs/${encodeURIComponent(this.job)}`));
    if (!job || this.#position !== null) return;
    this.#position = job.seq;
    if (this.#options.from === "snapshot") {
      this.#give({ type: "stream.snapshot", job: this.job, data: { seq: job.seq, job } });
    }
    if (ENDED.includes(job.status)) this.#close({ reason: "ended" });
  }

  /** Whether the server has more; over, where it has ended. @param {Http} http */
  async look(http) {
    const position = this.#position ?? 0;
    const query = `after=${position}&wait=0&limit=1${this.types.length ? `&types=${this.types.join()}` : ""}`;
    const page = await this.#ask(() => http.json("GET", `/jobs/${encodeURIComponent(this.job)}/poll?${query}`));
    if (!page || position !== this.#position) return false;
    if (page.closed && page.events.length === 0) this.#close({ reason: "ended" });
    return page.events.length > 0;
  }

  connected() {
    if (this.#connections > 0) this.stats.reconnects += 1;
    this.#connections += 1;
  }

  /** @param {StreamEvent} event @param {number} bytes */
  receive(event, bytes) {
    if (this.ended) return;
    this.stats.bytes += bytes;
    if (event.seq !== undefined && !this.#advance(event, event.seq)) return;
    if (event.type === "stream.gap") this.#miss(event.data);
    if (event.type === "stream.snapshot") this.#position = event.data.seq;
    if (event.type === "stream.degraded") this.degraded = /** @type {any} */ (event.data);
    this.#give(event);
    if (TERMINAL.includes(event.type)) this.#close({ reason: "ended" });
  }

  /** @param {number} position */
  moved(position) {
    if (this.#position !== null && position > this.#position) this.#position = position;
  }

  /** @param {WatchState} state */
  tell(state) {
    const known = this.#state;
    const news = state.name !== known.name || state.reason !== known.reason || state.retryAt !== known.retryAt;
    if (this.ended || (!news && state.transport === known.transport && this.#told)) return;
    this.#told = true;
    this.#state = state;
    this.#call(this.#options.onState, state);
  }

  over() {
    this.#close({ reason: "ended" });
  }

  /** @param {Problem} problem */
  refuse(problem) {
    this.#close({ reason: "refused", problem });
  }

  /** Whether the event is new; counts it. @param {StreamEvent} event @param {number} seq */
  #advance(event, seq) {
    const position = this.#position ?? 0;
    if (seq <= position) {
      this.stats.repeated += 1;
      return false;
    }
    // A filter leaves out what it leaves out without a word.
    if (this.types.length === 0) this.stats.lost += Math.max(0, (event.from ?? seq) - position - 1);
    this.#position = seq;
    return true;
  }

  /** @param {Record<string, any>} gap */
  #miss({ from, to }) {
    // A gap ahead of the log is about events that there never were.
    if (from === (this.#position ?? 0) + 1) this.stats.lost += to - from + 1;
  }

  /** @param {StreamEvent} event */
  #give(event) {
    this.stats.events += 1;
    this.stats.firstEventMs ??= performance.now() - this.#began;
    this.#call(this.#options.onEvent, event);
    if (this.#options.onEvent && !this.#iterated) return;
    this.#queue.push(event);
    this.#news();
    if (this.#queue.length >= FULL && !this.#full && !this.ended) this.#leave();
  }

  /** The queue is full: the server keeps the rest. */
  #leave() {
    this.#full = true;
    this.#channel?.remove(this);
    this.tell({ ...this.#state, name: "waiting", reason: "full", retryAt: undefined });
  }

  #join() {
    this.#full = false;
    if (this.ended) return;
    this.#channel = this.#owner.join(this);
    this.#channel.add(this);
  }

  /**
   * What the server answers; where it refuses for good, nothing, and the watch is over.
   * @param {() => Promise<any>} request
   */
  async #ask(request) {
    try {
      return await request();
    } catch (error) {
      if (!(error instanceof Problem) || error.retryable) throw error;
      this.refuse(error);
      return null;
    }
  }

  /** @param {{reason: string, problem?: Problem}} why */
  #close(why) {
    if (this.ended) return;
    this.#state = { name: "closed", transport: this.#state.transport, ...why };
    this.#channel?.remove(this);
    this.#owner.over(this);
    this.#call(this.#options.onState, this.#state);
    this.#news();
  }

  /**
   * What the page does wrong with an event must not end the stream.
   * @template T
   * @param {((given: T) => void) | undefined} callback @param {T} given
   */
  #call(callback, given) {
    try {
      callback?.(given);
    } catch (error) {
      queueMicrotask(() => { throw error; });
    }
  }
}
