// A line over WebSocket: of one job, or of any number that come and go on it.
/** @import {Line, Sink, Target} from "./lines.js" */

import { bytesIn, watched } from "./addresses.js";
import { ENDED } from "./fold.js";
import { Problem, problemOf } from "./http.js";

/** WebSocket close codes: the end of the job; the server restarts, or has no room. */
const NORMAL = 1000, RESTART = 1012, TRY_LATER = 1013;
/** Milliseconds that answers are waited for before a close. */
const ENDING_MS = 2000;

/** @param {Target} target @param {Sink} sink @returns {Line} */
export function openWebSocket(target, sink) {
  /** @type {WebSocket | null} */
  let socket = null;
  let closed = false;
  let opened = false;
  /** Messages that the server has not answered. */
  let unanswered = 0;
  /** Jobs whose end of subscription the server has not acknowledged: until then what comes is for who has left. */
  const leaving = new Map();
  const { path, query } = target.shared ? { path: "/ws", query: "" } : watched(target, "ws");
  sink.requested();
  target.http.address(path, query, [...target.positions().keys()]).then(open, (error) => {
    if (!closed) sink.ended({ why: "refused", problem: problemOf(error) });
  });

  /** @param {string} url */
  function open(url) {
    if (closed) return;
    const address = new URL(url, globalThis.location?.href);
    address.protocol = address.protocol.replace("http", "ws");
    socket = new WebSocket(address);
    socket.onopen = () => {
      opened = true;
      sink.opened();
      if (target.shared) for (const job of target.positions().keys()) subscribe(job);
    };
    socket.onmessage = ({ data }) => take(JSON.parse(data), data);
    socket.onclose = ({ code }) => {
      if (closed) return;
      if (code === TRY_LATER || code === RESTART) sink.ended({ why: "busy" });
      else if (code === NORMAL) sink.ended({ why: "done" });
      else sink.ended({ why: opened ? "broken" : "refused" });
    };
  }

  /** Once it is open, and what was asked is answered: browsers complain of an answer behind a close. */
  function end() {
    const ending = socket;
    if (!ending || (ending.readyState === WebSocket.OPEN && unanswered === 0)) return ending?.close();
    ending.onclose = null;
    ending.onopen = () => ending.close();
    ending.onmessage = ({ data }) => {
      if (isAnswer(JSON.parse(data)) && --unanswered === 0) ending.close();
    };
    setTimeout(() => ending.close(), ENDING_MS);
  }

  /** @param {any} message @param {string} text */
  function take(message, text) {
    if (isAnswer(message)) unanswered -= 1;
    if (message.type === "ack") return acknowledged(message);
    if (message.type === "error") return failed(message);
    if (leaving.has(message.job)) return sink.alive();
    sink.received(message, bytesIn(text));
  }

  /** @param {any} message */
  function acknowledged({ ref, job }) {
    sink.alive();
    if (ref?.left) return left(ref.left);
    const position = target.positions().get(ref);
    if (position !== undefined && ENDED.includes(job.status) && job.seq === position) sink.over(ref);
  }

  /** @param {any} message */
  function failed({ ref, error }) {
    if (ref?.left) left(ref.left);
    else sink.refused(ref, new Problem(error.status, error));
  }

  /** @param {string} job */
  function left(job) {
    const comesBack = leaving.get(job);
    leaving.delete(job);
    if (comesBack) subscribe(job);
  }

  /** @param {string} job */
  function add(job) {
    if (leaving.has(job)) leaving.set(job, true);
    else subscribe(job);
  }

  /** @param {string} job */
  function remove(job) {
    if (socket?.readyState !== WebSocket.OPEN) return; // it subscribes to what there is then
    const known = leaving.has(job);
    leaving.set(job, false);
    // Later, because it is often the last job that leaves: then the socket is closed, and no more is said.
    if (!known) setTimeout(() => closed || send({ type: "unsubscribe", job, ref: { left: job } }));
  }

  /** @param {string} job */
  function subscribe(job) {
    const after = target.positions().get(job) ?? 0;
    send({ type: "subscribe", job, after, types: target.typesOf(job), ref: job });
  }

  /** @param {object} message */
  function send(message) {
    if (socket?.readyState !== WebSocket.OPEN) return;
    unanswered += 1;
    socket.send(JSON.stringify(message));
  }

  return {
    close() { closed = true; end(); },
    add: target.http.key ? undefined : add, // a ticket is for the jobs that it names
    remove,
  };
}

/** @param {{type: string}} message */
const isAnswer = ({ type }) => type === "ack" || type === "error";
