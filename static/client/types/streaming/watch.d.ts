/** @import {Http} from "./http.js" */
/** @import {StreamEvent, Transport, WatchOptions, WatchState, WatchStats} from "./types.js" */
import type { Http } from "./http.js";
import type { StreamEvent, Transport, WatchOptions, WatchState, WatchStats } from "./types.js";
import { Problem } from "./http.js";
export type Carrier = {
    add: (watch: any) => void;
    remove: (watch: any) => void;
    cut: (watch: any) => void;
    retry: (watch: any) => void;
    hold: (held: boolean, watch: any) => void;
    offline: (offline: boolean, watch: any) => void;
    use?: (transport: Transport) => void;
};
export declare class Watch {
    #private;
    job: string;
    /** @type {WatchStats} */
    stats: WatchStats;
    /** The last `stream.degraded`: by how much the server gives less, and why. Level 0: all is well. */
    degraded: {
        level: number;
        why: string;
    };
    /**
     * @param {string} job
     * @param {WatchOptions} options
     * @param {{join: (watch: Watch) => Carrier, over: (watch: Watch) => void}} owner finds it a channel
     */
    constructor(job: string, options: WatchOptions, owner: {
        join: (watch: Watch) => Carrier;
        over: (watch: Watch) => void;
    });
    /** The seq up to which all is there; null while `from` is being found out. */
    get position(): number | null;
    get state(): WatchState;
    /** Whether the job has ended and all is there, or the watch is over for another reason. */
    get ended(): boolean;
    /** The options' types. */
    get types(): string[];
    get options(): WatchOptions;
    /** Stop watching. The job goes on. */
    close(): void;
    /** Lose the connection, as by a network that fails; it comes back by itself. */
    cut(): void;
    /** Go on over another transport, from the same position. @param {Transport} transport */
    use(transport: Transport): void;
    /** Try now, where it waits for a later try. */
    retry(): void;
    /** Read no more for now: over `ndjson` and `poll` the server sees a slow reader; else the connection is let go. */
    pause(): void;
    resume(): void;
    /** Be offline, as a device without a network, or back. @param {boolean} offline */
    offline(offline: boolean): void;
    /**
     * The events, for `for await`. It ends with the watch, and throws a `Problem` when the server refuses.
     * A slow loop costs no memory: the connection is let go and taken up again.
     * @returns {AsyncGenerator<StreamEvent, void, void>}
     */
    [Symbol.asyncIterator](): AsyncGenerator<StreamEvent, void, void>;
    /** Find out where to begin. @param {Http} http */
    begin(http: Http): Promise<void>;
    /** Whether the server has more; over, where it has ended. @param {Http} http */
    look(http: Http): Promise<boolean>;
    connected(): void;
    /** @param {StreamEvent} event @param {number} bytes */
    receive(event: StreamEvent, bytes: number): void;
    /** @param {number} position */
    moved(position: number): void;
    /** @param {WatchState} state */
    tell(state: WatchState): void;
    over(): void;
    /** @param {Problem} problem */
    refuse(problem: Problem): void;
}
