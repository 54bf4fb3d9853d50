/** @import {Channel} from "./streaming/channel.js" */
/** @typedef {import("./streaming/types.js").Job} Job */
/** @typedef {import("./streaming/types.js").JobRequest} JobRequest */
/** @typedef {import("./streaming/types.js").Status} Status */
/** @typedef {import("./streaming/types.js").StreamEvent} StreamEvent */
/** @typedef {import("./streaming/types.js").Transport} Transport */
/** @typedef {import("./streaming/types.js").WatchOptions} WatchOptions */
/** @typedef {import("./streaming/types.js").WatchState} WatchState */
/** @typedef {import("./streaming/types.js").WatchStats} WatchStats */
export type Job = import("./streaming/types.js").Job;
export type JobRequest = import("./streaming/types.js").JobRequest;
export type Status = import("./streaming/types.js").Status;
export type StreamEvent = import("./streaming/types.js").StreamEvent;
export type Transport = import("./streaming/types.js").Transport;
export type WatchOptions = import("./streaming/types.js").WatchOptions;
export type WatchState = import("./streaming/types.js").WatchState;
export type WatchStats = import("./streaming/types.js").WatchStats;
import { Problem } from "./streaming/http.js";
import { Watch } from "./streaming/watch.js";
export { ENDED, TERMINAL, fold } from "./streaming/fold.js";
export { Problem, Watch };
/** The transports in the order in which they are tried. */
export declare const TRANSPORTS: Transport[];
/** A server, and all that is watched there. */
export declare class Streaming {
    #private;
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
    constructor({ base, key, headers, transports, tabs }?: {
        base?: string;
        key?: string;
        headers?: Record<string, string> | (() => Record<string, string>);
        transports?: Transport[];
        tabs?: boolean | string;
    });
    /** The tasks that the server knows. @returns {Promise<any[]>} */
    tasks(): Promise<any[]>;
    /**
     * Start a job; its snapshot. With a key it is safe to call again.
     * `waitS`: hold the answer until the job has ended, so many seconds at most (300).
     * @param {JobRequest} request
     * @param {{idempotencyKey?: string, waitS?: number, signal?: AbortSignal}} [options]
     * @returns {Promise<Job>}
     */
    submit(request: JobRequest, { idempotencyKey, waitS, signal }?: {
        idempotencyKey?: string;
        waitS?: number;
        signal?: AbortSignal;
    }): Promise<Job>;
    /** The job's snapshot. @param {string} id @returns {Promise<Job>} */
    job(id: string): Promise<Job>;
    /**
     * A page of jobs, newest first.
     * @param {{status?: Status, task?: string, limit?: number, page_token?: string}} [query]
     * @returns {Promise<{jobs: Job[], next_page_token: string | null}>}
     */
    jobs(query?: {
        status?: Status;
        task?: string;
        limit?: number;
        page_token?: string;
    }): Promise<{
        jobs: Job[];
        next_page_token: string | null;
    }>;
    /** Cancel a job; its snapshot. @param {string} id @param {string} [reason] @returns {Promise<Job>} */
    cancel(id: string, reason?: string): Promise<Job>;
    /**
     * Answer a job's question, or feed a task that takes input; the job's snapshot.
     * @param {string} id @param {any} data @param {string} [request] which question
     * @returns {Promise<Job>}
     */
    answer(id: string, data: any, request?: string): Promise<Job>;
    /**
     * Who watches a job, by transport, and how far behind each is.
     * @param {string} id
     * @returns {Promise<{count: number, by_transport: Record<string, number>, viewers: any[]}>}
     */
    viewers(id: string): Promise<{
        count: number;
        by_transport: Record<string, number>;
        viewers: any[];
    }>;
    /** The transports' traits, and which to pick for what. @returns {Promise<{transports: any[], needs: any[], measured_with: any}>} */
    transports(): Promise<{
        transports: any[];
        needs: any[];
        measured_with: any;
    }>;
    /** Whether the service is ready, and how loaded: what `/v1/readyz` says. @returns {Promise<any>} */
    ready(): Promise<any>;
    /** Remove a job that has ended. @param {string} id @returns {Promise<void>} */
    remove(id: string): Promise<void>;
    /** A file that a job has made. @param {string} id @param {string} name @returns {Promise<Blob>} */
    artifact(id: string, name: string): Promise<Blob>;
    /**
     * Where a picture or a frame finds a file that a job has made; with a key, for some minutes.
     * @param {string} id @param {string} name @returns {Promise<string>}
     */
    artifactUrl(id: string, name: string): Promise<string>;
    /**
     * Upload a file; its id is for inputs.
     * @param {File} file
     * @param {{onProgress?: (sent: number, total: number) => void, signal?: AbortSignal}} [options]
     * @returns {Promise<{id: string, name: string, size: number}>}
     */
    upload(file: File, options?: {
        onProgress?: (sent: number, total: number) => void;
        signal?: AbortSignal;
    }): Promise<{
        id: string;
        name: string;
        size: number;
    }>;
    /**
     * Watch a job until its end, whatever happens to the connection.
     * @param {string} id
     * @param {WatchOptions} [options]
     */
    watch(id: string, options?: WatchOptions): Watch;
    /** End all watches. The jobs go on. */
    close(): void;
}
