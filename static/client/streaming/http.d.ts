/**
 * A refusal: the server's problem object (RFC 9457). No answer at all is one as well, with status 0
 * and the code `network_error`; who was asked to stop gets `aborted`.
 */
export declare class Problem extends Error {
    status: number;
    problem: Record<string, any>;
    /** @type {string} */
    code: string;
    /** @type {string} */
    detail: string;
    /** @type {{field: string, message: string}[]} one for each field that is not valid */
    errors: {
        field: string;
        message: string;
    }[];
    /** Whether the same request may succeed later. */
    retryable: any;
    /** Seconds that the server asks to wait for, if it does. */
    retryAfterS: number | undefined;
    /**
     * @param {number} status
     * @param {Record<string, any>} problem
     * @param {number} [retryAfterS]
     */
    constructor(status: number, problem: Record<string, any>, retryAfterS?: number);
    /** @param {Response} response */
    static of(response: Response): Promise<Problem>;
}
/** @param {unknown} error @returns {Problem} */
export declare function problemOf(error: unknown): Problem;
export type RequestOptions = {
    /**
     * the body
     */
    json?: any;
    /**
     * the same, as a form
     */
    body?: FormData;
    headers?: Record<string, string>;
    signal?: AbortSignal;
    /**
     * what the path is below; the default is /v1
     */
    below?: string;
    /**
     * until the answer is there; of a stream, until it begins
     */
    timeoutS?: number;
};
/** Requests to one server, with its key if it has one. */
export declare class Http {
    #private;
    base: string;
    key: string | undefined;
    /**
     * @param {string} base up to and without /v1
     * @param {string} [key]
     * @param {Record<string, string> | (() => Record<string, string>)} [headers] more, of every request
     */
    constructor(base: string, key?: string, headers?: Record<string, string> | (() => Record<string, string>));
    /** Whether there are headers that only `fetch` can send. */
    get hasHeaders(): boolean;
    /** Asked for anew at each request, because a token may change. @returns {Record<string, string>} */
    get headers(): Record<string, string>;
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
    request(method: string, path: string, options?: RequestOptions): Promise<Response>;
    /**
     * @param {string} method @param {string} path @param {RequestOptions} [options]
     * @returns {Promise<any>} the answer's JSON
     * @throws {Problem}
     */
    json(method: string, path: string, options?: RequestOptions): Promise<any>;
    /**
     * @param {string} path @param {FormData} body @param {AbortSignal} [signal]
     * @returns {Promise<any>} the answer's JSON
     * @throws {Problem}
     */
    form(path: string, body: FormData, signal?: AbortSignal): Promise<any>;
    /**
     * An address for what cannot send headers: with a key, it has a ticket for these jobs.
     * @param {string} path below /v1
     * @param {string} query
     * @param {string[]} jobs
     */
    address(path: string, query: string, jobs: string[]): Promise<string>;
}
/** @param {Record<string, any>} query undefined and empty members are left out */
export declare function queryOf(query: Record<string, any>): string;
