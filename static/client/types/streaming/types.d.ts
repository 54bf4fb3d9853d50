export type StreamEvent = {
    type: string;
    seq?: number;
    from?: number;
    job?: string;
    at?: string;
    data: Record<string, any>;
};
export type Status = "queued" | "running" | "waiting_for_input" | "cancelling" | "completed" | "failed" | "cancelled";
export type Step = {
    id: string;
    index: number | null;
    total: number | null;
    title: string | null;
    status: "pending" | "running" | "completed" | "failed" | "skipped";
    duration_s: number | null;
};
export type Job = {
    id: string;
    task: string;
    /**
     * the submission's; without one, the task's
     */
    title: string;
    /**
     * what was asked; members over 4 KiB are cut, and say so
     */
    input: Record<string, any>;
    status: Status;
    created_at: string;
    started_at: string | null;
    finished_at: string | null;
    attempt: number;
    queue_position: number | null;
    progress: {
        percent: number;
        eta_s: number | null;
        basis: "measured" | "estimated";
    };
    steps: Step[];
    /**
     * in order of first appearance
     */
    texts: {
        item: string;
        text: string;
    }[];
    /**
     * all of them, one behind the other
     */
    text: string;
    /**
     * the latest of each name and labels
     */
    metrics: any[];
    /**
     * the latest of each rule
     */
    alerts: any[];
    leases: any[];
    input_request: {
        request: string;
        prompt: string;
        schema: any;
    } | null;
    output: any;
    /**
     * a problem object
     */
    error: any;
    usage: any;
    artifacts: {
        name: string;
        media_type: string;
        size: number;
        href: string;
    }[];
    metadata: Record<string, any>;
    /**
     * of the last event in it
     */
    seq: number;
    degraded: boolean;
    /**
     * how the model's last answer ended
     */
    finish_reason: string | null;
    /**
     * the model's text is not whole
     */
    cut: boolean;
    /**
     * the simulated model wrote
     */
    simulated: boolean;
    links: {
        self: string;
        events: string;
        poll: string;
        ws: string;
        cancel: string;
    };
};
export type JobRequest = {
    task: string;
    input?: any;
    /**
     * what people call the job
     */
    title?: string;
    metadata?: Record<string, any>;
    on_break?: "restart" | "continue" | "fail";
    on_disconnect?: "continue" | "cancel";
    disconnect_grace_s?: number;
    timeout_s?: number;
    ttl_s?: number;
};
export type Transport = "sse" | "websocket" | "poll" | "ndjson";
export type WatchState = {
    name: "connecting" | "live" | "waiting" | "offline" | "closed";
    transport: Transport;
    reason?: string;
    retryAt?: number;
    problem?: import("./http.js").Problem;
};
export type WatchStats = {
    events: number;
    bytes: number;
    /**
     * connections and polls, those that failed too
     */
    requests: number;
    /**
     * connections after the first
     */
    reconnects: number;
    /**
     * from watch() to the first event
     */
    firstEventMs: number | null;
    lost: number;
    repeated: number;
};
export type WatchOptions = {
    /**
     * seq of the last event that you have; beats `from`
     */
    after?: number;
    /**
     * where to begin; the default is the start
     */
    from?: "start" | "snapshot" | "latest";
    /**
     * only these types, terminal events and `stream.*`
     */
    types?: string[];
    /**
     * only this one, without falling back
     */
    transport?: Transport;
    /**
     * over one connection with all other shared watches, of other tabs too; the
     * default, unless `transport` is given
     */
    shared?: boolean;
    /**
     * each event once, in order
     */
    onEvent?: (event: StreamEvent) => void;
    onState?: (state: WatchState) => void;
};
/**
 * An event of a job's log, or word about the stream itself (`stream.*`), which has no `seq`.
 * `from`: it stands for the events from there to its `seq`.
 * @typedef {object} StreamEvent
 * @property {string} type
 * @property {number} [seq]
 * @property {number} [from]
 * @property {string} [job]
 * @property {string} [at]
 * @property {Record<string, any>} data
 */
/** @typedef {"queued" | "running" | "waiting_for_input" | "cancelling" | "completed" | "failed" | "cancelled"} Status */
/**
 * @typedef {object} Step
 * @property {string} id
 * @property {number | null} index
 * @property {number | null} total
 * @property {string | null} title
 * @property {"pending" | "running" | "completed" | "failed" | "skipped"} status
 * @property {number | null} duration_s
 */
/**
 * A job's state: what `GET /v1/jobs/{id}` gives, and what `fold` makes of events.
 * Lists leave out `steps`, `texts`, `text` and `output`.
 * @typedef {object} Job
 * @property {string} id
 * @property {string} task
 * @property {string} title the submission's; without one, the task's
 * @property {Record<string, any>} input what was asked; members over 4 KiB are cut, and say so
 * @property {Status} status
 * @property {string} created_at
 * @property {string | null} started_at
 * @property {string | null} finished_at
 * @property {number} attempt
 * @property {number | null} queue_position
 * @property {{percent: number, eta_s: number | null, basis: "measured" | "estimated"}} progress
 * @property {Step[]} steps
 * @property {{item: string, text: string}[]} texts in order of first appearance
 * @property {string} text all of them, one behind the other
 * @property {any[]} metrics the latest of each name and labels
 * @property {any[]} alerts the latest of each rule
 * @property {any[]} leases
 * @property {{request: string, prompt: string, schema: any} | null} input_request
 * @property {any} output
 * @property {any} error a problem object
 * @property {any} usage
 * @property {{name: string, media_type: string, size: number, href: string}[]} artifacts
 * @property {Record<string, any>} metadata
 * @property {number} seq of the last event in it
 * @property {boolean} degraded
 * @property {string | null} finish_reason how the model's last answer ended
 * @property {boolean} cut the model's text is not whole
 * @property {boolean} simulated the simulated model wrote
 * @property {{self: string, events: string, poll: string, ws: string, cancel: string}} links
 */
/**
 * What `POST /v1/jobs` takes.
 * @typedef {object} JobRequest
 * @property {string} task
 * @property {any} [input]
 * @property {string} [title] what people call the job
 * @property {Record<string, any>} [metadata]
 * @property {"restart" | "continue" | "fail"} [on_break]
 * @property {"continue" | "cancel"} [on_disconnect]
 * @property {number} [disconnect_grace_s]
 * @property {number} [timeout_s]
 * @property {number} [ttl_s]
 */
/**
 * `ndjson` is SSE's stream read by fetch: the one transport on which `pause()` is felt by the
 * server, because a browser reads EventSource and WebSocket whether it is asked or not.
 * @typedef {"sse" | "websocket" | "poll" | "ndjson"} Transport
 */
/**
 * How a watch stands. `retryAt`: when it tries again (ms, as Date.now()), in `waiting` and `offline`.
 * `reason`: why it waits, or has closed: `ended`, `closed` (by you), `refused` (see `problem`).
 * @typedef {object} WatchState
 * @property {"connecting" | "live" | "waiting" | "offline" | "closed"} name
 * @property {Transport} transport
 * @property {string} [reason]
 * @property {number} [retryAt]
 * @property {import("./http.js").Problem} [problem]
 */
/**
 * `lost`: events that are covered by nothing that was given, `stream.gap` included; `repeated`:
 * events that came again and were left out. `bytes` are those of the events, without framing.
 * @typedef {object} WatchStats
 * @property {number} events
 * @property {number} bytes
 * @property {number} requests connections and polls, those that failed too
 * @property {number} reconnects connections after the first
 * @property {number | null} firstEventMs from watch() to the first event
 * @property {number} lost
 * @property {number} repeated
 */
/**
 * @typedef {object} WatchOptions
 * @property {number} [after] seq of the last event that you have; beats `from`
 * @property {"start" | "snapshot" | "latest"} [from] where to begin; the default is the start
 * @property {string[]} [types] only these types, terminal events and `stream.*`
 * @property {Transport} [transport] only this one, without falling back
 * @property {boolean} [shared] over one connection with all other shared watches, of other tabs too; the
 * default, unless `transport` is given
 * @property {(event: StreamEvent) => void} [onEvent] each event once, in order
 * @property {(state: WatchState) => void} [onState]
 */
export {};
