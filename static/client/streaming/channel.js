// A channel keeps one connection for its watches, whatever happens to it: it falls back to the next
// transport, comes back with growing pauses, and waits while the device is offline.
/** @import {Http} from "./http.js" */
/** @import {End, Line} from "./lines.js" */
/** @import {StreamEvent, Transport, WatchState} from "./types.js" */
/** @import {Watch} from "./watch.js" */

import { problemOf } from "./http.js";
import { LINES } from "./lines.js";

/** Jobs that one connection follows at most; with a ticket, which names them once more, the address of
 * more would be too long. */
const SHARED_JOBS = 100, SHARED_JOBS_WITH_TICKET = 75;
/** Seconds until a connection must be open; until it must have given something that is there; quiet
 * seconds after which that is looked at again. */
const OPEN_S = 10, FIRST_S = 5, QUIET_S = 20;
/** Seconds that an event may be under way when a look has found it. */
const UNDER_WAY_S = 2;
/** Seconds before another try, at most: the first, doubled with each that fails, up to the longest. */
const SOON_S = 0.1, LONGEST_S = 10;
/** Connections in a row that gave nothing, where the server has something, until the next transport. */
const FRUITLESS = 2;
/** Milliseconds in which jobs that come and go are gathered into one new connection; and for which a
 * connection on which jobs come and go is kept without any. */
const GATHER_MS = 30;

export class Channel {
  #http;
  #transports;
  #idle;
  #at = 0;
  /** @type {Map<string, Watch>} */
  #watches = new Map();
  /** @type {Line | null} */
  #line = null;
  /** Counts what is under way: what belongs to an earlier turn has no say. */
  #turn = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #linger;
  /** @type {Omit<WatchState, "transport">} */
  #state = { name: "connecting" };
  #failures = 0;
  #fruitless = 0;
  #opened = false;
  #fruitful = false;
  #lastSign = 0;
  #looking = false;
  #held = false;
  #offline = false;
  #deviceOffline = false;
  #looked = false;

  /**
   * @param {Http} http
   * @param {{shared: boolean, transports: Transport[], idle: () => void}} plan `idle` is called
   * when the last watch has left; the channel is not used any more
   */
  constructor(http, { shared, transports, idle }) {
    this.#http = http;
    this.#transports = transports;
    this.#idle = idle;
    this.shared = shared;
  }

  get transport() {
    return this.#transports[this.#at % this.#transports.length];
  }

  /** Whether another job finds room here. @param {string} job */
  takes(job) {
    const most = this.#http.key ? SHARED_JOBS_WITH_TICKET : SHARED_JOBS;
    return this.#watches.size < most && !this.#watches.has(job);
  }

  /** @param {Watch} watch */
  add(watch) {
    clearTimeout(this.#linger);
    this.#watches.set(watch.job, watch);
    watch.tell(this.#told());
    if (this.#line?.add) this.#admit(watch);
    else if (this.#watches.size === 1) this.#connect();
    else this.#gather();
  }

  /** @param {Watch} watch */
  remove(watch) {
    if (this.#watches.get(watch.job) !== watch) return;
    this.#watches.delete(watch.job);
    const comeAndGo = this.shared && this.#line?.add;
    if (this.#watches.size === 0 && !comeAndGo) return this.close();
    if (this.#watches.size === 0) this.#linger = setTimeout(() => this.close(), GATHER_MS);
    if (this.#line?.remove) this.#line.remove(watch.job);
    else if (!watch.ended) this.#gather();
  }

  /** Keep no connection for jobs that may come. Its watches have left. */
  close() {
    clearTimeout(this.#linger);
    this.#drop();
    this.#idle();
  }

  /** Lose the connection, as by a network that fails. */
  cut() {
    if (this.#line) this.#ended({ why: "broken" }, true);
  }

  /** Try now, where it waits for a later try. */
  retry() {
    if (this.#timer) this.#connect();
  }

  /** Go on over another transport. @param {Transport} transport */
  use(transport) {
    if (this.shared && transport === "ndjson") throw new TypeError("ndjson is for one job: not for shared watches");
    this.#transports = [transport];
    this.#at = this.#failures = this.#fruitless = 0;
    this.#connect();
  }

  /** Stop reading, or go on. @param {boolean} held */
  hold(held) {
    this.#held = held;
    if (this.#line?.hold) this.#line.hold(held);
    else this.#connect();
  }

  /** Be without a network, or back. @param {boolean} offline */
  offline(offline) {
    this.#offline = offline;
    this.#connect();
  }

  /** The device has lost its network. It is tried all the same, now and then: a server may be near. */
  networkGone() {
    this.#deviceOffline = true;
    if (!this.#offline) this.#wait({ s: LONGEST_S, reason: "offline" });
  }

  /** The device is back on a network, perhaps another one. */
  networkBack() {
    this.#deviceOffline = false;
    this.#at = this.#failures = this.#fruitless = 0;
    this.#connect();
  }

  /** The page is seen again, or has slept: what was thought to be open may not be. */
  wake() {
    if (this.#timer && this.#state.reason !== "closing") this.#connect();
    else if (this.#line) this.#look();
  }

  /** Time has passed. */
  tick() {
    if (!this.#line || this.#line.timed || this.#held) return;
    const quietS = (Date.now() - this.#lastSign) / 1000;
    if (!this.#opened && quietS > OPEN_S) this.#ended({ why: "refused" });
    else if (this.#opened && quietS > (this.#fruitful || this.#looked ? QUIET_S : FIRST_S)) this.#look();
  }

  #connect() {
    this.#drop();
    if (this.#watches.size === 0) return;
    if (this.#offline) return this.#tell({ name: "offline", reason: "asked" });
    if (this.#held && this.transport in { sse: 1, websocket: 1 }) {
      return this.#tell({ name: "waiting", reason: "paused" });
    }
    this.#tell({ name: "connecting" });
    this.#begin(this.#turn);
  }

  /** @param {number} turn */
  async #begin(turn) {
    try {
      for (const watch of [...this.#watches.values()]) await watch.begin(this.#http);
    } catch (error) {
      if (turn === this.#turn) this.#away(error);
      return;
    }
    if (turn === this.#turn && this.#watches.size > 0) this.#open(turn);
  }

  /** @param {number} turn */
  #open(turn) {
    this.#opened = this.#fruitful = this.#looked = false;
    this.#lastSign = Date.now();
    const target = {
      http: this.#http, shared: this.shared, positions: () => this.#positions(),
      typesOf: (/** @type {string} */ job) => this.#watches.get(job)?.types ?? [], again: this.#failures > 0,
    };
    /** @param {(...given: any[]) => void} tell */
    const ours = (tell) => (/** @type {any[]} */ ...given) => {
      if (turn === this.#turn) tell(...given);
    };
    this.#line = LINES[this.transport](target, {
      requested: ours((job) => this.#count(job)),
      opened: ours(() => this.#isOpen()),
      received: ours((event, bytes) => this.#receive(event, bytes)),
      alive: ours(() => { this.#lastSign = Date.now(); }),
      moved: ours((job, position) => this.#watches.get(job)?.moved(position)),
      over: ours((job) => this.#watches.get(job)?.over()),
      refused: ours((job, problem) => this.#watches.get(job)?.refuse(problem)),
      ended: ours((end) => this.#ended(end)),
    });
    if (this.#held) this.#line.hold?.(true);
  }

  /** A new job on an open line. @param {Watch} watch */
  async #admit(watch) {
    try {
      await watch.begin(this.#http);
      if (this.#watches.get(watch.job) === watch) this.#line?.add?.(watch.job);
    } catch (error) {
      this.#away(error);
    }
  }

  /** @param {string} [job] */
  #count(job) {
    for (const watch of this.#watches.values()) if (!job || watch.job === job) watch.stats.requests += 1;
  }

  #positions() {
    return new Map([...this.#watches].map(([job, watch]) => [job, watch.position ?? 0]));
  }

  #isOpen() {
    this.#lastSign = Date.now();
    if (this.#opened) return;
    this.#opened = true;
    this.#tell({ name: "live" });
    for (const watch of this.#watches.values()) watch.connected();
  }

  /** @param {StreamEvent} event @param {number} bytes */
  #receive(event, bytes) {
    this.#lastSign = Date.now();
    if (event.type === "stream.closing") {
      this.#drop();
      this.#failures = 0;
      // A ticket that is over is no reason to wait: the next connection has a new one.
      const { reason, retry_s } = event.data;
      return this.#wait({ s: reason === "ticket_expired" ? 0 : retry_s, reason: "closing" });
    }
    this.#fruitful = true;
    this.#failures = this.#fruitless = 0;
    const watches = event.job ? [this.#watches.get(event.job)] : [...this.#watches.values()];
    for (const watch of watches) watch?.receive(event, bytes);
  }

  /** @param {End} end @param {boolean} [wanted] */
  #ended({ why, problem }, wanted = false) {
    const worked = wanted || (this.#opened && this.#fruitful);
    this.#drop();
    this.#failures += 1;
    if (why === "busy" || problem?.retryAfterS) {
      return this.#wait({ s: problem?.retryAfterS ?? 1, reason: "busy", problem });
    }
    if (worked && why === "broken") return this.#wait({ reason: "lost", problem });
    this.#tell({ name: "connecting", reason: "refused" });
    this.#askWhy(this.#turn, why);
  }

  /**
   * A line gave nothing: has it ended for good, is the server away, or does something swallow it?
   * @param {number} turn @param {End["why"]} why
   */
  async #askWhy(turn, why) {
    try {
      const news = await this.#news();
      if (turn !== this.#turn || this.#watches.size === 0) return;
      if (news || why === "refused") this.#fruitless += 1;
      if (this.#fruitless >= FRUITLESS && this.#transports.length > 1) {
        this.#at += 1;
        this.#fruitless = this.#failures = 0;
        return this.#connect();
      }
      this.#wait({ reason: "refused" });
    } catch (error) {
      if (turn === this.#turn) this.#away(error);
    }
  }

  /** Whether the server has something for any of the watches; those that are over hear of it. */
  async #news() {
    let news = false;
    for (const watch of [...this.#watches.values()]) news = (await watch.look(this.#http)) || news;
    return news;
  }

  /** Look whether a quiet line keeps something from us. */
  async #look() {
    if (this.#looking) return;
    this.#looking = true;
    const turn = this.#turn;
    const sign = this.#lastSign;
    try {
      const news = await this.#news();
      if (news) await new Promise((resolve) => setTimeout(resolve, UNDER_WAY_S * 1000));
      if (turn !== this.#turn || sign !== this.#lastSign) return;
      if (news) this.#ended({ why: "broken" });
      this.#looked = true;
      if (!news) this.#lastSign = Date.now();
    } catch (error) {
      if (turn === this.#turn && sign === this.#lastSign) this.#ended({ why: "broken", problem: problemOf(error) });
    } finally {
      this.#looking = false;
    }
  }

  /** @param {unknown} error */
  #away(error) {
    const problem = problemOf(error);
    this.#failures += 1;
    this.#wait({ s: problem.retryAfterS, reason: problem.status ? "busy" : "away", problem });
  }

  /** @param {{s?: number, reason: string, problem?: import("./http.js").Problem}} why */
  #wait({ s = 0, reason, problem }) {
    this.#drop();
    const longest = Math.min(LONGEST_S, SOON_S * 2 ** Math.max(0, this.#failures - 1));
    const waitS = Math.max(s, longest * (0.5 + Math.random() / 2));
    const name = this.#deviceOffline ? "offline" : "waiting";
    this.#timer = setTimeout(() => this.#connect(), waitS * 1000);
    this.#tell({ name, reason, problem, retryAt: Date.now() + waitS * 1000 });
  }

  /** Other jobs: another connection, with all that come at once. */
  #gather() {
    if (this.#timer || !this.#line) return; // it will be opened with them anyway
    this.#drop();
    this.#timer = setTimeout(() => this.#connect(), GATHER_MS);
  }

  /** End whatever is under way. */
  #drop() {
    this.#turn += 1;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#line?.close();
    this.#line = null;
  }

  /** @param {Omit<WatchState, "transport">} state */
  #tell(state) {
    this.#state = state;
    for (const watch of [...this.#watches.values()]) watch.tell(this.#told());
  }

  /** @returns {WatchState} */
  #told() {
    return { ...this.#state, transport: this.transport };
  }
}
