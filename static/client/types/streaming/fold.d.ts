/** @import {Job, StreamEvent} from "./types.js" */
import type { Job, StreamEvent } from "./types.js";
/** The events that end a job. */
export declare const TERMINAL: string[];
/** The statuses that do not change any more. */
export declare const ENDED: string[];
/**
 * The job's state after an event. Begin with null, or with a snapshot: of `submit`, `job`, or a
 * `stream.snapshot` event, whose state replaces what there was. Events that the state has already
 * change nothing, nor do other `stream.*` events. The result is as the server's snapshot at that
 * event, but for `queue_position` of others' jobs; begun with null, `links` have no prefix.
 *
 * @param {Job | null} job
 * @param {StreamEvent} event
 * @returns {Job}
 */
export declare function fold(job: Job | null, event: StreamEvent): Job;
