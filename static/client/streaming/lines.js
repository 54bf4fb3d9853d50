// Lines: an open connection of each transport. A line takes events in and tells how it ended; it
// knows nothing of retries. Beside the jobs of one connection's routes, `shared` means any number.
/** @import {Http} from "./http.js" */
/** @import {StreamEvent, Transport} from "./types.js" */

import { ENDED } from "./fold.js";
import { Problem, problemOf, queryOf } from "./http.js";

/** Polls that are open at once: browsers allow six connections to a host, and others need some. */
const POLLS = 4;
/** Seconds that a poll waits; and in which each of many jobs has had its turn. */
const WAIT_S = 25, ROUND_S = 5;
/** Events in a page; and at first where a connection was lost before: a large page might never pass. */
const PAGE = 500, SMALL_PAGE = 8;
/** Milliseconds until the next poll when one came back early and empty, at least. */
const PAUSE_MS = 1000;

/** WebSocket close codes: the end of the job; the server restarts, or has no room. */
const NORMAL = 1000, RESTART = 1012, TRY_LATER = 1013;

/**
 * What a line is for.
 * @typedef {object} Target
 * @property {Http} http
 * @property {boolean} shared
 * @property {string[]} types
 * @property {() => Map<string, number>} positions where its jobs are now
 * @property {boolean} again whether the connection before it has given nothing
 */

/**
 * How a line has ended: `done`: the server has no more to say; `refused`: it was never open.
 * @typedef {object} End
 * @property {"done" | "broken" | "refused" | "busy"} why
 * @property {Problem} [problem]
 */

/**
 * What a line tells; `ended` once, and nothing after it.
 * @typedef {object} Sink
 * @property {(job?: string) => void} requested for one job, or for all
 * @property {() => void} opened
 * @property {(event: StreamEvent, bytes: number) => void} received
 * @property {() => void} alive a sign of life without an event
 * @property {(job: string, position: number) => void} moved beyond what is filtered out
 * @property {(job: string) => void} over one of many jobs has ended, and all is there
 * @property {(job: string, problem: Problem) => void} refused one of many jobs
 * @property {(end: End) => void} ended
 */

/**
 * `hold(true)` stops reading, where that can be. Without `add` and `remove` other jobs need another line.
 * `timed`: it finds out by itself that nobody answers.
 * @typedef {object} Line
 * @property {() => void} close
 * @property {(held: boolean) => void} [hold]
 * @property {(job: string) => void} [add]
 * @property {(job: string) => void} [remove]
 * @property {boolean} [timed]
 */

/** @type {Record<Transport, (target: Target, sink: Sink) => Line>} */
export const LINES = { sse: openSse, websocket: openWebSocket, poll: openPolls, ndjson: openNdjson };

const encoder = new TextEncoder();
/** @param {string} text */
const bytesIn = (text) => encoder.encode(text).length;

/** @param {Target} target @param {Sink} sink @returns {Line} */
function openSse(target, sink) {
  /** @type {EventSource | null} */
  let source = null;
  let closed = false;
  const { path, query } = target.shared ? feed(target) : watched(target, "events");
  sink.requested();
  target.http.address(path, query, [...target.positions().keys()]).then(open, (error) => {
    if (!closed) sink.ended({ why: "refused", problem: problemOf(error) });
  });

  /** @param {string} url */
  function open(url) {
    if (closed) return;
    const made = source = new EventSource(url);
    let opened = false;
    made.onopen = () => { opened = true; sink.opened(); };
    made.onmessage = ({ data }) => sink.received(JSON.parse(data), bytesIn(data));
    // It would come back by itself from some ends, and never from others: we decide that.
    made.onerror = () => { made.close(); sink.ended({ why: opened ? "broken" : "refused" }); };
  }
  return { close() { closed = true; source?.close(); } };
}

/** @param {Target} target @param {Sink} sink @returns {Line} */
function openWebSocket(target, sink) {
  /** @type {WebSocket | null} */
  let socket = null;
  let closed = false;
  let opened = false;
  const { path, query } = target.shared ? { path: "/ws", query: "" } : watched(target, "ws");
  sink.requested();
  target.http.address(path, query, [...target.positions().keys()]).then(open, (error) => {
    if (!closed) sink.ended({ why: "refused", problem: problemOf(error) });
  });

  /** @param {string} url */
  function open(url) {
    if (closed) return;
    const address = new URL(url, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    socket = new WebSocket(address);
    socket.onopen = () => {
      opened = true;
      sink.opened();
      if (target.shared) for (const job of target.positions().keys()) subscribe(job);
    };
    socket.onmessage = ({ data }) => take(JSON.parse(data), data);
    socket.onclose = ({ code }) => {
      if (closed) return;
      if (code === TRY_LATER || code === RESTART) sink.ended({ why: "busy" });
      else if (code === NORMAL) sink.ended({ why: "done" });
      else sink.ended({ why: opened ? "broken" : "refused" });
    };
  }

  /** @param {any} message @param {string} text */
  function take(message, text) {
    if (message.type === "ack") return acknowledged(message);
    if (message.type === "error") return sink.refused(message.ref, new Problem(message.error.status, message.error));
    sink.received(message, bytesIn(text));
  }

  /** @param {any} message */
  function acknowledged({ ref, job }) {
    sink.alive();
    const position = target.positions().get(ref);
    if (position !== undefined && ENDED.includes(job.status) && job.seq === position) sink.over(ref);
  }

  /** @param {string} job */
  function subscribe(job) {
    const after = target.positions().get(job) ?? 0;
    send({ type: "subscribe", job, after, types: target.types, ref: job });
  }

  /** @param {object} message */
  function send(message) {
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
  }

  return {
    close() { closed = true; socket?.close(); },
    add: target.http.key ? undefined : subscribe, // a ticket is for the jobs that it names
    remove: (job) => send({ type: "unsubscribe", job }),
  };
}

/** @param {Target} target @param {Sink} sink @returns {Line} */
function openPolls(target, sink) {
  const abort = new AbortController();
  const { signal } = abort;
  const turns = new Turns(POLLS);
  const gate = new Gate();
  /** @type {Set<string>} */
  const polled = new Set();

  /** @param {string} job */
  async function follow(job) {
    if (polled.has(job)) return;
    polled.add(job);
    let wait = 0; // the first answer comes at once, and tells that the way is open
    let limit = target.again ? SMALL_PAGE : PAGE;
    try {
      while (!signal.aborted && target.positions().has(job)) {
        await turns.take();
        const began = Date.now();
        const page = await poll(job, wait, limit).finally(() => turns.give());
        if (signal.aborted || !target.positions().has(job)) return;
        if (page.closed) return end({ why: "done" });
        const early = page.events.length === 0 && Date.now() - began < wait * 500;
        if (early) await pause(PAUSE_MS, signal);
        wait = polled.size <= POLLS ? WAIT_S : (ROUND_S * POLLS) / polled.size;
        limit = Math.min(2 * limit, PAGE);
        await gate.passed();
      }
    } catch (error) {
      end({ why: "broken", problem: problemOf(error) });
    } finally {
      polled.delete(job);
    }
  }

  /** @param {string} job @param {number} wait @param {number} limit */
  async function poll(job, wait, limit) {
    const query = queryOf({ after: target.positions().get(job), wait, limit, types: target.types.join() });
    sink.requested(job);
    const page = await target.http.json("GET", `/jobs/${job}/poll?${query}`, { signal, timeoutS: wait + 10 });
    if (signal.aborted) return page;
    sink.opened();
    for (const event of page.events) {
      if (signal.aborted) break; // by who was given one
      sink.received(event, bytesIn(JSON.stringify(event)));
    }
    if (!signal.aborted) sink.moved(job, page.next);
    return page;
  }

  /** @param {End} end */
  function end(end) {
    if (signal.aborted) return;
    abort.abort();
    sink.ended(end);
  }

  for (const job of target.positions().keys()) follow(job);
  return { close: () => abort.abort(), hold: (held) => gate.set(held), add: follow, remove() {}, timed: true };
}

/** @param {Target} target @param {Sink} sink @returns {Line} */
function openNdjson(target, sink) {
  const abort = new AbortController();
  const { signal } = abort;
  const gate = new Gate();

  async function read() {
    const { path, query } = watched(target, "events");
    const headers = { Accept: "application/x-ndjson" };
    sink.requested();
    const response = await target.http.request("GET", `${path}?${query}`, { headers, signal });
    if (response.status === 204 || response.body === null) return end({ why: "done" });
    sink.opened();
    await takeLines(response.body.getReader());
    end({ why: "broken" });
  }

  /** @param {ReadableStreamDefaultReader<Uint8Array>} reader */
  async function takeLines(reader) {
    const decoder = new TextDecoder();
    let rest = "";
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const lines = (rest + decoder.decode(part.value, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      sink.alive();
      for (const line of lines) {
        if (signal.aborted) return;
        if (line) sink.received(JSON.parse(line), bytesIn(line));
      }
      await gate.passed();
    }
  }

  /** @param {End} end */
  function end(end) {
    if (!signal.aborted) sink.ended(end);
    abort.abort();
  }

  read().catch((error) => {
    const problem = problemOf(error);
    end({ why: problem.status ? "refused" : "broken", problem });
  });
  return { close: () => abort.abort(), hold: (held) => gate.set(held) };
}

/** @param {Target} target @param {string} way */
function watched(target, way) {
  const [[job, after]] = target.positions();
  return { path: `/jobs/${job}/${way}`, query: queryOf({ after, types: target.types.join() }) };
}

/** The address of a feed, as short as can be: servers allow some 8,000 characters. @param {Target} target */
function feed(target) {
  const positions = [...target.positions()];
  const jobs = positions.map(([job]) => `job=${job}`).join("&");
  const after = positions.filter(([, seq]) => seq > 0).map(([job, seq]) => `${job}:${seq}`).join();
  const types = target.types.length ? `&types=${target.types.join()}` : "";
  return { path: "/events", query: `${jobs}${types}&after=${after}` };
}

/** So many at once; the others wait, in order. */
class Turns {
  /** @param {number} free */
  constructor(free) {
    this.free = free;
    /** @type {(() => void)[]} */
    this.waiting = [];
  }

  /** @returns {Promise<void>} */
  take() {
    if (this.free > 0) {
      this.free -= 1;
      return Promise.resolve();
    }
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  give() {
    const next = this.waiting.shift();
    if (next) next();
    else this.free += 1;
  }
}

/** Held or open. */
class Gate {
  #held = false;
  #open = () => {};
  /** @type {Promise<void>} */
  #opened = Promise.resolve();

  /** @param {boolean} held */
  set(held) {
    if (held === this.#held) return;
    this.#held = held;
    if (held) this.#opened = new Promise((resolve) => { this.#open = resolve; });
    else this.#open();
  }

  passed() {
    return this.#opened;
  }
}

/** @param {number} ms @param {AbortSignal} signal @returns {Promise<void>} */
function pause(ms, signal) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms * (1 + Math.random()));
    signal.addEventListener("abort", end);
  });
}
