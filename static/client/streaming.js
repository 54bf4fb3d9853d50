// The browser client: start jobs, watch them over any number of lost connections, steer them.
// An ES module without a build step; it needs nothing but the modules in the folder beside it.
//
//   import { Streaming, fold } from "/v1/streaming.js";
//
//   const streaming = new Streaming();                    // the server that this module came from
//   let job = await streaming.submit({ task: "generate", input: { prompt: "Tides" } });
//   const watch = streaming.watch(job.id, {
//     after: job.seq,
//     onEvent: (event) => { job = fold(job, event); show(job); },   // each once, in order
//     onState: ({ name, reason, retryAt }) => tell(name),
//   });
//
// new Streaming({ base, key, headers, transports, tabs })
//   tasks()  submit(request, { idempotencyKey, waitS, signal })  job(id)  jobs(query)  cancel(id, reason)
//   answer(id, data, request)  upload(file, { onProgress, signal })  artifact(id, name)  artifactUrl(id, name)  remove(id)
//   viewers(id)  transports()  ready()
//   watch(id, { after, from, types, transport, shared, onEvent, onState }) → Watch
//   close()                     ends all watches
// Watch
//   job  position  state  stats  degraded      for await (const event of watch)
//   close()  cut()  retry()  use(transport)  pause()  resume()  offline(bool)
// fold(job, event) → job      the job's state, as `GET /v1/jobs/{id}` has it
// Problem                     what every refusal is: code, detail, errors, status, retryable
//
// types.js has the shapes. All watches of all tabs share one connection (WebSocket, else SSE or long
// polling), unless `shared: false` or a `transport` asks for one of its own (SSE, else WebSocket or long
// polling). Where something in between swallows a transport the next one goes on from the position.
// In Node (20 and newer) it works unchanged: give it an absolute `base`.
/** @import {Channel} from "./streaming/channel.js" */
/** @typedef {import("./streaming/types.js").Job} Job */
/** @typedef {import("./streaming/types.js").JobRequest} JobRequest */
/** @typedef {import("./streaming/types.js").Status} Status */
/** @typedef {import("./streaming/types.js").StreamEvent} StreamEvent */
/** @typedef {import("./streaming/types.js").Transport} Transport */
/** @typedef {import("./streaming/types.js").WatchOptions} WatchOptions */
/** @typedef {import("./streaming/types.js").WatchState} WatchState */
/** @typedef {import("./streaming/types.js").WatchStats} WatchStats */

import { Channels } from "./streaming/channels.js";
import { Http, Problem, queryOf } from "./streaming/http.js";
import { Hub } from "./streaming/hub.js";
import { AVAILABLE } from "./streaming/lines.js";
import { Relay } from "./streaming/relay.js";
import { Surroundings } from "./streaming/surroundings.js";
import { Tabs } from "./streaming/tabs.js";
import { upload } from "./streaming/upload.js";
import { Watch } from "./streaming/watch.js";

export { ENDED, TERMINAL, fold } from "./streaming/fold.js";
export { Problem, Watch };

/** The transports in the order in which they are tried. */
export const TRANSPORTS = /** @type {Transport[]} */ (["sse", "websocket", "poll"]);
/** Those of a connection that many share: jobs come and go on a WebSocket, and it is none of the six
 * connections that a browser allows to a host. @type {Transport[]} */
const SHARED_TRANSPORTS = ["websocket", "sse", "poll"];

/** The server that serves this module, prefix included; else the page's own. */
const HOME = /^(.*)\/v1\/streaming\.js/.exec(import.meta.url)?.[1] ?? "";

/** A server, and all that is watched there. */
export class Streaming {
  #http;
  #transports;
  #shared;
  #channels;
  /** @type {Hub | null} while this tab leads */
  #hub = null;
  /** @type {Relay | null} where tabs share a connection */
  #relay;
  /** @type {Set<Watch>} */
  #watches = new Set();
  #surroundings;

  /**
   * @param {object} [options]
   * @param {string} [options.base] the server, with the extension's url_prefix: "https://host/ai"
   * @param {string} [options.key] an API key
   * @param {Record<string, string> | (() => Record<string, string>)} [options.headers] sent with every
   * request, as a CSRF token; a function is called for each
   * @param {Transport[]} [options.transports] what watches may use, in this order
   * @param {boolean | string} [options.tabs] false: do not share a connection with other tabs; a text:
   * only with those that say the same, as the user's name where headers say who asks
   */
  constructor({ base = HOME, key, headers, transports, tabs = true } = {}) {
    this.#http = new Http(base, key, headers);
    this.#transports = (transports ?? TRANSPORTS).filter((each) => AVAILABLE.includes(each));
    this.#shared = (transports ?? SHARED_TRANSPORTS).filter((each) => AVAILABLE.includes(each));
    this.#channels = new Channels(this.#http);
    this.#relay = tabs !== false && Tabs.possible ? this.#meet(tabs) : null;
    this.#surroundings = new Surroundings({
      networkGone: () => this.#each((channel) => channel.networkGone()),
      networkBack: () => this.#each((channel) => channel.networkBack()),
      wake: () => { this.#channels.each((channel) => channel.wake()); this.#relay?.wake(); },
      tick: () => { this.#each((channel) => channel.tick()); this.#relay?.tick(); },
    });
  }

  /** The tasks that the server knows. @returns {Promise<any[]>} */
  async tasks() {
    return (await this.#http.json("GET", "/tasks")).tasks;
  }

  /**
   * Start a job; its snapshot. With a key it is safe to call again.
   * `waitS`: hold the answer until the job has ended, so many seconds at most (300).
   * @param {JobRequest} request
   * @param {{idempotencyKey?: string, waitS?: number, signal?: AbortSignal}} [options]
   * @returns {Promise<Job>}
   */
  async submit(request, { idempotencyKey, waitS, signal } = {}) {
    /** @type {Record<string, string>} */
    const headers = {};
    if (idempotencyKey !== undefined) headers["Idempotency-Key"] = idempotencyKey;
    if (waitS !== undefined) headers.Prefer = `wait=${Math.ceil(waitS)}`;
    const timeoutS = waitS === undefined ? undefined : waitS + 10;
    return this.#http.json("POST", "/jobs", { json: { input: {}, ...request }, headers, signal, timeoutS });
  }

  /** The job's snapshot. @param {string} id @returns {Promise<Job>} */
  async job(id) {
    return this.#http.json("GET", pathOf(id));
  }

  /**
   * A page of jobs, newest first.
   * @param {{status?: Status, task?: string, limit?: number, page_token?: string}} [query]
   * @returns {Promise<{jobs: Job[], next_page_token: string | null}>}
   */
  async jobs(query = {}) {
    return this.#http.json("GET", `/jobs?${queryOf(query)}`);
  }

  /** Cancel a job; its snapshot. @param {string} id @param {string} [reason] @returns {Promise<Job>} */
  async cancel(id, reason) {
    return this.#http.json("POST", `${pathOf(id)}/cancel`, { json: { reason } });
  }

  /**
   * Answer a job's question, or feed a task that takes input; the job's snapshot.
   * @param {string} id @param {any} data @param {string} [request] which question
   * @returns {Promise<Job>}
   */
  async answer(id, data, request) {
    return this.#http.json("POST", `${pathOf(id)}/input`, { json: { data, request } });
  }

  /**
   * Who watches a job, by transport, and how far behind each is.
   * @param {string} id
   * @returns {Promise<{count: number, by_transport: Record<string, number>, viewers: any[]}>}
   */
  async viewers(id) {
    return this.#http.json("GET", `${pathOf(id)}/viewers`);
  }

  /** The transports' traits, and which to pick for what. @returns {Promise<{transports: any[], needs: any[], measured_with: any}>} */
  async transports() {
    return this.#http.json("GET", "/transports");
  }

  /** Whether the service is ready, and how loaded: what `/v1/readyz` says. @returns {Promise<any>} */
  async ready() {
    try {
      return await this.#http.json("GET", "/readyz");
    } catch (error) {
      if (error instanceof Problem && error.problem.ready === false) return error.problem;
      throw error;
    }
  }

  /** Remove a job that has ended. @param {string} id @returns {Promise<void>} */
  async remove(id) {
    await this.#http.request("DELETE", pathOf(id));
  }

  /** A file that a job has made. @param {string} id @param {string} name @returns {Promise<Blob>} */
  async artifact(id, name) {
    const response = await this.#http.request("GET", `${pathOf(id)}/artifacts/${encodeURIComponent(name)}`);
    return response.blob();
  }

  /**
   * Where a picture or a frame finds a file that a job has made; with a key, for some minutes.
   * @param {string} id @param {string} name @returns {Promise<string>}
   */
  async artifactUrl(id, name) {
    return this.#http.address(`${pathOf(id)}/artifacts/${encodeURIComponent(name)}`, "", [id]);
  }

  /**
   * Upload a file; its id is for inputs.
   * @param {File} file
   * @param {{onProgress?: (sent: number, total: number) => void, signal?: AbortSignal}} [options]
   * @returns {Promise<{id: string, name: string, size: number}>}
   */
  async upload(file, options) {
    return upload(this.#http, file, options);
  }

  /**
   * Watch a job until its end, whatever happens to the connection.
   * @param {string} id
   * @param {WatchOptions} [options]
   */
  watch(id, options = {}) {
    const watch = new Watch(id, options, {
      join: (each) => this.#channelFor(each),
      over: (each) => this.#over(each),
    });
    this.#watches.add(watch);
    this.#surroundings.start();
    return watch;
  }

  /** End all watches. The jobs go on. */
  close() {
    for (const watch of [...this.#watches]) watch.close();
    this.#channels.close();
    this.#relay?.close();
  }

  /** With the tabs that would be given the same. @param {boolean | string} tabs */
  #meet(tabs) {
    const server = new URL(this.#http.base || "/", location.href).href;
    const who = [this.#http.headers.Authorization ?? "", this.#shared.join(), tabs === true ? "" : tabs];
    const name = `streaming/1 ${server} ${hashOf(JSON.stringify(who))}`;
    return new Relay(this.#http, (hear) => new Tabs(name, {
      hear,
      lead: (post) => (this.#hub = new Hub(this.#http, this.#shared, post)),
    }));
  }

  /** @param {Watch} watch */
  #channelFor({ job, options: { transport, shared = transport === undefined } }) {
    if (!shared || transport === "ndjson") return this.#channels.own(transport ? [transport] : this.#transports);
    if (transport) return this.#channels.shared([transport], job);
    return this.#relay ?? this.#channels.shared(this.#shared, job);
  }

  /** @param {Watch} watch */
  #over(watch) {
    this.#watches.delete(watch);
    if (this.#watches.size === 0) this.#surroundings.stop();
  }

  /** @param {(channel: Channel) => void} tell */
  #each(tell) {
    this.#channels.each(tell);
    this.#hub?.channels.each(tell);
  }
}

/** Not to be read back: names of channels are no place for keys. @param {string} text */
function hashOf(text) {
  let hash = 0xcbf29ce484222325n; // FNV-1a
  for (const each of text) hash = BigInt.asUintN(64, (hash ^ BigInt(each.codePointAt(0) ?? 0)) * 0x100000001b3n);
  return hash.toString(36);
}

/** @param {string} id */
const pathOf = (id) => `/jobs/${encodeURIComponent(id)}`;
