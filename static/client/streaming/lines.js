// Lines: an open connection of each transport. A line takes events in and tells how it ended; it
// knows nothing of retries. Beside the jobs of one connection's routes, `shared` means any number.
/** @import {Http, Problem} from "./http.js" */
/** @import {StreamEvent, Transport} from "./types.js" */

import { openNdjson } from "./line_ndjson.js";
import { openPolls } from "./line_polls.js";
import { openSse } from "./line_sse.js";
import { openWebSocket } from "./line_websocket.js";

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
export const LINES = { sse: openSse, websocket: openWebSocket, poll: openPolls, ndjson: openNdjson };

/** The transports that there are here: Node has no EventSource, and not always a WebSocket. @type {Transport[]} */
export const AVAILABLE = typeof WebSocket === "undefined" ? ["sse", "poll", "ndjson"] : ["sse", "websocket", "poll", "ndjson"];
