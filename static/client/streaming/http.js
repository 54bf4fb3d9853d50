// Requests, and what the server says when it refuses one.

/** Seconds until a request that nobody answers has failed. */
const TIMEOUT_S = 30, UPLOAD_S = 3600;
/** Answers that another try would get again. */
const FINAL = [400, 401, 403, 404, 405, 409, 410, 413, 415, 422];

/**
 * A refusal: the server's problem object (RFC 9457). No answer at all is one as well, with status 0
 * and the code `network_error`; who was asked to stop gets `aborted`.
 */
export class Problem extends Error {
  /**
   * @param {number} status
   * @param {Record<string, any>} problem
   * @param {number} [retryAfterS]
   */
  constructor(status, problem, retryAfterS) {
    super(problem.detail ?? problem.title ?? `The server answered ${status}.`);
    this.name = "Problem";
    this.status = status;
    this.problem = problem;
    /** @type {string} */
    this.code = problem.code ?? `http_${status}`;
    /** @type {string} */
    this.detail = this.message;
    /** @type {{field: string, message: string}[]} one for each field that is not valid */
    this.errors = problem.errors ?? [];
    /** Whether the same request may succeed later. */
    this.retryable = problem.retryable ?? !FINAL.includes(status);
    /** Seconds that the server asks to wait for, if it does. */
    this.retryAfterS = retryAfterS;
  }

  /** @param {Response} response */
  static async of(response) {
    const problem = await response.json().catch(() => ({}));
    const after = Number(response.headers.get("Retry-After") ?? NaN);
    const isProblem = problem !== null && typeof problem === "object";
    return new Problem(response.status, isProblem ? problem : {}, after >= 0 ? after : undefined);
  }
}

/** @param {unknown} error @returns {Problem} */
export function problemOf(error) {
  if (error instanceof Problem) return error;
  const aborted = error instanceof DOMException && error.name === "AbortError";
  const detail = aborted ? "The request was stopped." : `No answer from the server: ${error}`;
  return new Problem(0, { code: aborted ? "aborted" : "network_error", detail, retryable: !aborted });
}

/** Requests to one server, with its key if it has one. */
export class Http {
  #given;

  /**
   * @param {string} base up to and without /v1
   * @param {string} [key]
   * @param {Record<string, string> | (() => Record<string, string>)} [headers] more, of every request
   */
  constructor(base, key, headers) {
    this.base = base.replace(/\/$/, "");
    this.key = key;
    this.#given = headers;
  }

  /** Whether there are headers that only `fetch` can send. */
  get hasHeaders() {
    return this.#given !== undefined;
  }

  /** Asked for anew at each request, because a token may change. @returns {Record<string, string>} */
  get headers() {
    const given = typeof this.#given === "function" ? this.#given() : this.#given;
    return { ...(this.key ? { Authorization: `Bearer ${this.key}` } : {}), ...given };
  }

  /**
   * @typedef {object} RequestOptions
   * @property {any} [json] the body
   * @property {FormData} [body] the same, as a form
   * @property {Record<string, string>} [headers]
   * @property {AbortSignal} [signal]
   * @property {string} [below] what the path is below; the default is /v1
   * @property {number} [timeoutS] until the answer is there; of a stream, until it begins
   *
   * @param {string} method
   * @param {string} path below /v1
   * @param {RequestOptions} [options]
   * @returns {Promise<Response>} with a status below 400
   * @throws {Problem}
   */
  async request(method, path, options) {
    return this.#call(method, path, options, null);
  }

  /**
   * @param {string} method @param {string} path @param {RequestOptions} [options]
   * @returns {Promise<any>} the answer's JSON
   * @throws {Problem}
   */
  async json(method, path, options) {
    return this.#call(method, path, options, (response) => response.json());
  }

  /**
   * @param {string} path @param {FormData} body @param {AbortSignal} [signal]
   * @returns {Promise<any>} the answer's JSON
   * @throws {Problem}
   */
  async form(path, body, signal) {
    return this.#call("POST", path, { body, signal, timeoutS: UPLOAD_S }, (response) => response.json());
  }

  /**
   * @template T
   * @param {string} method @param {string} path @param {RequestOptions | undefined} options
   * @param {((response: Response) => Promise<T>) | null} read null: the response itself, not yet read
   * @returns {Promise<any>}
   */
  async #call(method, path, { json, body, headers = {}, signal, below = "/v1", timeoutS = TIMEOUT_S } = {}, read) {
    const abort = new AbortController();
    const stop = () => abort.abort();
    let late = false;
    const timer = setTimeout(() => { late = true; stop(); }, timeoutS * 1000);
    if (signal?.aborted) stop();
    signal?.addEventListener("abort", stop);
    /** @type {Record<string, string>} */
    const typed = json === undefined ? {} : { "Content-Type": "application/json" };
    try {
      const response = await fetch(`${this.base}${below}${path}`, {
        method,
        headers: { ...this.headers, ...typed, ...headers },
        body: json === undefined ? body : JSON.stringify(json),
        signal: abort.signal,
        cache: "no-store",
      });
      if (!response.ok) throw await Problem.of(response);
      return read === null ? response : await read(response);
    } catch (error) {
      throw late ? problemOf(new Error(`none within ${timeoutS} s`)) : problemOf(error);
    } finally {
      clearTimeout(timer);
      if (read !== null) signal?.removeEventListener("abort", stop);
    }
  }

  /**
   * An address for what cannot send headers: with a key, it has a ticket for these jobs.
   * @param {string} path below /v1
   * @param {string} query
   * @param {string[]} jobs
   */
  async address(path, query, jobs) {
    const url = `${this.base}/v1${path}${query && `?${query}`}`;
    if (!this.key) return url;
    const { ticket } = await this.json("POST", "/tickets", { json: { jobs } });
    return `${url}${query ? "&" : "?"}ticket=${encodeURIComponent(ticket)}`;
  }
}

/** @param {Record<string, any>} query undefined and empty members are left out */
export function queryOf(query) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== "");
  return new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
}
