// A line of long polls, of which each finds out by itself that nobody answers.
/** @import {End, Line, Sink, Target} from "./lines.js" */

import { bytesIn } from "./addresses.js";
import { problemOf, queryOf } from "./http.js";
import { Gate, Turns, pause } from "./waiting.js";

/** Polls that are open at once: browsers allow six connections to a host, and others need some. */
const POLLS = 4;
/** Seconds that a poll waits; and in which each of many jobs has had its turn. */
const WAIT_S = 25, ROUND_S = 5;
/** Events in a page; and at first where a connection was lost before: a large page might never pass. */
const PAGE = 500, SMALL_PAGE = 8;
/** Milliseconds until the next poll when one came back early and empty, at least. */
const PAUSE_MS = 1000;

/** @param {Target} target @param {Sink} sink @returns {Line} */
export function openPolls(target, sink) {
  const abort = new AbortController();
  const { signal } = abort;
  const turns = new Turns(POLLS);
  const gate = new Gate();
  /** @type {Set<string>} */
  const polled = new Set();

  /** @param {string} job */
  async function follow(job) {
    if (polled.has(job)) return;
    polled.add(job);
    let wait = 0; // the first answer comes at once, and tells that the way is open
    let limit = target.again ? SMALL_PAGE : PAGE;
    try {
      while (!signal.aborted && target.positions().has(job)) {
        await turns.take();
        const began = Date.now();
        const page = await poll(job, wait, limit).finally(() => turns.give());
        if (signal.aborted || !target.positions().has(job)) return;
        if (page.closed) return end({ why: "done" });
        const early = page.events.length === 0 && Date.now() - began < wait * 500;
        if (early) await pause(PAUSE_MS, signal);
        wait = polled.size <= POLLS ? WAIT_S : (ROUND_S * POLLS) / polled.size;
        limit = Math.min(2 * limit, PAGE);
        await gate.passed();
      }
    } catch (error) {
      end({ why: "broken", problem: problemOf(error) });
    } finally {
      polled.delete(job);
    }
  }

  /** @param {string} job @param {number} wait @param {number} limit */
  async function poll(job, wait, limit) {
    const types = target.typesOf(job).join();
    const query = queryOf({ after: target.positions().get(job), wait, limit, types });
    sink.requested(job);
    const page = await target.http.json("GET", `/jobs/${job}/poll?${query}`, { signal, timeoutS: wait + 10 });
    if (signal.aborted) return page;
    if (types !== target.typesOf(job).join()) return { ...page, closed: false }; // for who has left
    sink.opened();
    for (const event of page.events) {
      if (signal.aborted) break; // by who was given one
      sink.received(event, bytesIn(JSON.stringify(event)));
    }
    if (!signal.aborted) sink.moved(job, page.next);
    return page;
  }

  /** @param {End} end */
  function end(end) {
    if (signal.aborted) return;
    abort.abort();
    sink.ended(end);
  }

  for (const job of target.positions().keys()) follow(job);
  return { close: () => abort.abort(), hold: (held) => gate.set(held), add: follow, remove() {}, timed: true };
}
