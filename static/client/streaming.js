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
// new Streaming({ base, key, transports })
//   tasks()  submit(request, { idempotencyKey, waitS, signal })  job(id)  jobs(query)  cancel(id, reason)
//   answer(id, data, request)  upload(file, { onProgress, signal })  artifact(id, name)  artifactUrl(id, name)  remove(id)
//   viewers(id)  transports()  ready()
//   watch(id, { after, from, types, transport, shared, onEvent, onState }) → Watch
//   close()                     ends all watches
// Watch
//   job  position  state  stats  degraded      for await (const event of watch)
//   close()  cut()  use(transport)  pause()  resume()  offline(bool)
// fold(job, event) → job      the job's state, as `GET /v1/jobs/{id}` has it
// Problem                     what every refusal is: code, detail, errors, status, retryable
//
// types.js has the shapes. The watch begins with SSE, falls back to WebSocket and long polling
// where something in between swallows a transport, and goes on from its position on each of them.
/** @import {Job, JobRequest, Status, Transport, WatchOptions} from "./streaming/types.js" */

import { Channel } from "./streaming/channel.js";
import { Http, Problem, queryOf } from "./streaming/http.js";
import { Surroundings } from "./streaming/surroundings.js";
import { upload } from "./streaming/upload.js";
import { Watch } from "./streaming/watch.js";

export { ENDED, TERMINAL, fold } from "./streaming/fold.js";
export { Problem, Watch };

/** The transports in the order in which they are tried. */
export const TRANSPORTS = /** @type {Transport[]} */ (["sse", "websocket", "poll"]);

/** The server that serves this module, prefix included; else the page's own. */
const HOME = /^(.*)\/v1\/streaming\.js/.exec(import.meta.url)?.[1] ?? "";

/** A server, and all that is watched there. */
export class Streaming {
  #http;
  #transports;
  /** @type {Map<Channel, string>} each with what its watches have in common */
  #channels = new Map();
  /** @type {Set<Watch>} */
  #watches = new Set();
  #surroundings;

  /**
   * @param {object} [options]
   * @param {string} [options.base] the server, with the extension's url_prefix: "https://host/ai"
   * @param {string} [options.key] an API key
   * @param {Transport[]} [options.transports] what watches may use, in this order
   */
  constructor({ base = HOME, key, transports = TRANSPORTS } = {}) {
    this.#http = new Http(base, key);
    this.#transports = transports;
    this.#surroundings = new Surroundings({
      networkGone: () => this.#each((channel) => channel.networkGone()),
      networkBack: () => this.#each((channel) => channel.networkBack()),
      wake: () => this.#each((channel) => channel.wake()),
      tick: () => this.#each((channel) => channel.tick()),
    });
  }

  /** The tasks that the server knows. @returns {Promise<any[]>} */
  async tasks() {
    return (await this.#http.json("GET", "/tasks")).tasks;
  }

  /**
   * Start a job; its snapshot. With a key it is safe to call again.
   * `waitS`: hold the answer until the job has ended, so many seconds at the most (300).
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
  }

  /** @param {Watch} watch */
  #channelFor({ job, types, options }) {
    const transports = options.transport ? [options.transport] : this.#transports;
    const shared = Boolean(options.shared) && !transports.includes("ndjson");
    const kind = shared ? JSON.stringify([types, transports]) : "";
    const known = [...this.#channels].find(([each, its]) => shared && its === kind && each.takes(job));
    if (known) return known[0];
    const made = new Channel(this.#http, { shared, types, transports, idle: () => this.#channels.delete(made) });
    this.#channels.set(made, kind);
    return made;
  }

  /** @param {Watch} watch */
  #over(watch) {
    this.#watches.delete(watch);
    if (this.#watches.size === 0) this.#surroundings.stop();
  }

  /** @param {(channel: Channel) => void} tell */
  #each(tell) {
    for (const channel of [...this.#channels.keys()]) tell(channel);
  }
}

/** @param {string} id */
const pathOf = (id) => `/jobs/${encodeURIComponent(id)}`;
