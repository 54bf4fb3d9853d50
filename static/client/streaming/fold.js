// The fold: what each event does to a job's state. Pure: a state is never changed, but replaced.
/** @import {Job, StreamEvent} from "./types.js" */

/** The status after each type that changes it. */
const STATUS_AFTER = {
  "job.queued": "queued",
  "job.started": "running",
  "input.requested": "waiting_for_input",
  "input.received": "running",
  "job.cancel_requested": "cancelling",
  "job.completed": "completed",
  "job.failed": "failed",
  "job.cancelled": "cancelled",
};

/** Bytes of JSON of each member of an input that are shown, and of all of them. */
const SHOWN_MEMBER = 4096, SHOWN_INPUT = 16_384;

const encoder = new TextEncoder();

/** The events that end a job. */
export const TERMINAL = ["job.completed", "job.failed", "job.cancelled"];
/** The statuses that do not change any more. */
export const ENDED = ["completed", "failed", "cancelled"];

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
export function fold(job, event) {
  if (event.type === "stream.snapshot") {
    // Over WebSocket `texts` alone has the text.
    const { job: state } = event.data;
    /** @type {{ text: string }[]} */
    const texts = state.texts;
    return { ...state, text: texts.map(({ text }) => text).join("") };
  }
  const before = job ?? blank(event);
  if (event.seq === undefined || event.seq <= before.seq) return before;
  const change = CHANGES[event.type]?.(before, event.data, event.at ?? "");
  return { ...before, ...change, ...statusAfter(before, event), seq: event.seq };
}

/** @param {StreamEvent} event @returns {Job} */
function blank({ job = "", at = "" }) {
  const self = `/v1/jobs/${job}`;
  return {
    id: job, task: "", title: "", input: {}, status: "queued", created_at: at, started_at: null, finished_at: null,
    attempt: 0, queue_position: null, progress: { percent: 0, eta_s: null, basis: "estimated" },
    steps: [], texts: [], text: "", metrics: [], alerts: [], leases: [], input_request: null,
    output: null, error: null, usage: null, artifacts: [], metadata: {}, seq: 0, degraded: false,
    finish_reason: null, cut: false, simulated: false,
    links: { self, events: `${self}/events`, poll: `${self}/poll`, ws: `${self}/ws`, cancel: `${self}/cancel` },
  };
}

/** @param {Job} job @param {StreamEvent} event @returns {Partial<Job>} */
function statusAfter(job, { type, data }) {
  if (type === "input.received" && data.request == null) return {}; // fed, not asked for
  const ends = TERMINAL.includes(type);
  if (!(type in STATUS_AFTER) || (job.status === "cancelling" && !ends)) return {};
  return { status: /** @type {Record<string, any>} */ (STATUS_AFTER)[type] };
}

/** @type {Record<string, (job: Job, data: Record<string, any>, at: string) => Partial<Job>>} */
const CHANGES = {
  "job.queued": (_, data) => ({
    task: data.task, title: data.title || data.task, input: shownInput(data.input ?? {}),
    metadata: data.metadata ?? {}, queue_position: data.position ?? null,
  }),
  "job.started": (job, data, at) => ({
    attempt: data.attempt, started_at: job.started_at ?? at, queue_position: null,
    input_request: null, leases: [], degraded: job.degraded || Boolean(data.basic),
    finish_reason: null, cut: false,
  }),
  "job.progress": (_, data) => ({
    progress: { percent: data.percent, eta_s: data.eta_s ?? null, basis: data.basis },
  }),
  "step.updated": (job, data) => ({ steps: put(job.steps, stepOf(data), (step) => step.id) }),
  "text.delta": (job, data) => withText(job, data.item, (text) => text + data.text),
  "text.reset": (job, data) => withText(job, data.item, () => ""),
  "metric": (job, data) => ({ metrics: put(job.metrics, data, metricKey) }),
  "alert": (job, data) => ({ alerts: put(job.alerts, data, (alert) => alert.rule) }),
  "artifact": (job, data) => ({
    artifacts: put(job.artifacts, /** @type {any} */ (data), (artifact) => artifact.name),
  }),
  "log": (job, data) => ({
    degraded: job.degraded || Boolean(data.degraded), leases: data.leases ?? job.leases, ...answered(data),
  }),
  "input.requested": (_, data) => ({ input_request: /** @type {any} */ (data) }),
  "input.received": (job, data) => ({ input_request: data.request == null ? job.input_request : null }),
  "job.completed": (_, data, at) => ({
    ...ended(data, at), output: data.output ?? null,
    progress: { percent: 100, eta_s: 0, basis: "measured" },
  }),
  "job.failed": (_, data, at) => ({ ...ended(data, at), error: data.error }),
  "job.cancelled": (_, data, at) => ended(data, at),
};

/** @param {Record<string, any>} data @param {string} at @returns {Partial<Job>} */
function ended(data, at) {
  return {
    finished_at: at, usage: data.usage ?? null, input_request: null, leases: [], queue_position: null,
    ...answered(data),
  };
}

/** How the model's last answer ended. @param {Record<string, any>} data @returns {Partial<Job>} */
function answered({ finish_reason, cut, simulated }) {
  return { ...(finish_reason && { finish_reason }), ...(cut && { cut }), ...(simulated && { simulated }) };
}

/** @param {Record<string, any>} data @returns {import("./types.js").Step} */
function stepOf({ id, index = null, total = null, title = null, status, duration_s = null }) {
  return { id, index, total, title, status, duration_s };
}

/**
 * What was asked, as the server shows it: large members are cut to their beginning, and say so.
 * @param {Record<string, any>} given @returns {Record<string, any>}
 */
function shownInput(given) {
  let left = SHOWN_INPUT;
  return Object.fromEntries(Object.entries(given).map(([name, value]) => {
    const encoded = encoder.encode(JSON.stringify(value));
    const room = left > 0 ? SHOWN_MEMBER : 0;
    left -= [...name].length + Math.min(encoded.length, SHOWN_MEMBER);
    return [name, encoded.length <= room ? value : beginning(value, encoded, room)];
  }));
}

/** The first bytes, of whole characters. @param {any} value @param {Uint8Array} encoded @param {number} room */
function beginning(value, encoded, room) {
  const whole = typeof value === "string" ? encoder.encode(value) : encoded;
  const begins = new TextDecoder().decode(whole.subarray(0, room), { stream: true });
  return `${begins}… [cut: ${whole.length} bytes in all]`;
}

/** @param {Record<string, any>} metric */
function metricKey({ name, labels }) {
  return JSON.stringify([name, Object.entries(labels ?? {}).sort()]);
}

/**
 * The list with the entry in the place of the one with the same key, or at the end.
 * @template T
 * @param {T[]} list @param {T} entry @param {(entry: T) => string} key
 */
function put(list, entry, key) {
  const at = list.findIndex((each) => key(each) === key(entry));
  return at < 0 ? [...list, entry] : [...list.slice(0, at), entry, ...list.slice(at + 1)];
}

/** @param {Job} job @param {string} item @param {(text: string) => string} change @returns {Partial<Job>} */
function withText(job, item, change) {
  const text = job.texts.find((each) => each.item === item)?.text ?? "";
  const texts = put(job.texts, { item, text: change(text) }, (each) => each.item);
  // Joined by +, which engines do without copying.
  return { texts, text: texts.reduce((all, each) => all + each.text, "") };
}
