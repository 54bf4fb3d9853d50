// A line over SSE: EventSource where that will do, else the same stream read by fetch.
/** @import {Line, Sink, Target} from "./lines.js" */

import { bytesIn, feed, watched } from "./addresses.js";
import { problemOf } from "./http.js";
import { SseParser } from "./sse_parser.js";

/** @param {Target} target @param {Sink} sink @returns {Line} */
export function openSse(target, sink) {
  const { path, query } = target.shared ? feed(target) : watched(target, "events");
  sink.requested();
  const fetched = typeof EventSource === "undefined" || target.http.hasHeaders;
  return fetched ? readSse(target, sink, path, query) : listen(target, sink, path, query);
}

/** @param {Target} target @param {Sink} sink @param {string} path @param {string} query @returns {Line} */
function listen(target, sink, path, query) {
  /** @type {EventSource | null} */
  let source = null;
  let closed = false;
  target.http.address(path, query, [...target.positions().keys()]).then(open, (error) => {
    if (!closed) sink.ended({ why: "refused", problem: problemOf(error) });
  });

  /** @param {string} url */
  function open(url) {
    if (closed) return;
    const made = source = new EventSource(url);
    let opened = false;
    made.onopen = () => { opened = true; sink.opened(); };
    made.onmessage = ({ data }) => sink.received(JSON.parse(data), bytesIn(data));
    // It would come back by itself from some ends, and never from others: we decide that.
    made.onerror = () => { made.close(); sink.ended({ why: opened ? "broken" : "refused" }); };
  }
  return { close() { closed = true; source?.close(); } };
}

/** EventSource sends no headers, and Node has none. @param {Target} target @param {Sink} sink @param {string} path @param {string} query @returns {Line} */
function readSse(target, sink, path, query) {
  const abort = new AbortController();
  const { signal } = abort;

  async function read() {
    const headers = { Accept: "text/event-stream" };
    const response = await target.http.request("GET", `${path}?${query}`, { headers, signal });
    if (response.status === 204 || response.body === null) return end("done");
    sink.opened();
    const parser = new SseParser((data) => {
      if (!signal.aborted) sink.received(JSON.parse(data), bytesIn(data));
    });
    const decoder = new TextDecoder();
    const reader = response.body.getReader();
    for (let part = await reader.read(); !part.done && !signal.aborted; part = await reader.read()) {
      sink.alive();
      parser.feed(decoder.decode(part.value, { stream: true }));
    }
    end("broken");
  }

  /** @param {"done" | "broken" | "refused"} why @param {import("./http.js").Problem} [problem] */
  function end(why, problem) {
    if (!signal.aborted) sink.ended({ why, problem });
    abort.abort();
  }

  read().catch((error) => {
    const problem = problemOf(error);
    end(problem.status ? "refused" : "broken", problem);
  });
  return { close: () => abort.abort() };
}
