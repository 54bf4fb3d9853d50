/** @import {Http, Problem} from "./http.js" */
/** @import {StreamEvent, Transport} from "./types.js" */
import type { Http, Problem } from "./http.js";
import type { StreamEvent, Transport } from "./types.js";
export type Target = {
    http: Http;
    shared: boolean;
    /**
     * the types that are wanted of a job; none for all
     */
    typesOf: (job: string) => string[];
    /**
     * where its jobs are now
     */
    positions: () => Map<string, number>;
    /**
     * whether the connection before it has given nothing
     */
    again: boolean;
};
export type End = {
    why: "done" | "broken" | "refused" | "busy";
    problem?: Problem;
};
export type Sink = {
    /**
     * for one job, or for all
     */
    requested: (job?: string) => void;
    opened: () => void;
    received: (event: StreamEvent, bytes: number) => void;
    /**
     * a sign of life without an event
     */
    alive: () => void;
    /**
     * beyond what is filtered out
     */
    moved: (job: string, position: number) => void;
    /**
     * one of many jobs has ended, and all is there
     */
    over: (job: string) => void;
    /**
     * one of many jobs
     */
    refused: (job: string, problem: Problem) => void;
    ended: (end: End) => void;
};
export type Line = {
    close: () => void;
    hold?: (held: boolean) => void;
    add?: (job: string) => void;
    remove?: (job: string) => void;
    timed?: boolean;
};
/**
 * What a line is for.
 * @typedef {object} Target
 * @property {Http} http
 * @property {boolean} shared
 * @property {(job: string) => string[]} typesOf the types that are wanted of a job; none for all
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
export declare const LINES: Record<Transport, (target: Target, sink: Sink) => Line>;
/** The transports that there are here: Node has no EventSource, and not always a WebSocket. @type {Transport[]} */
export declare const AVAILABLE: Transport[];
