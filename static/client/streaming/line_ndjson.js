// A line of NDJSON: the one that a page can stop reading so that the server feels it.
/** @import {End, Line, Sink, Target} from "./lines.js" */

import { bytesIn, watched } from "./addresses.js";
import { problemOf } from "./http.js";
import { Gate } from "./waiting.js";

/** @param {Target} target @param {Sink} sink @returns {Line} */
export function openNdjson(target, sink) {
  const abort = new AbortController();
  const { signal } = abort;
  const gate = new Gate();

  async function read() {
    const { path, query } = watched(target, "events");
    const headers = { Accept: "application/x-ndjson" };
    sink.requested();
    const response = await target.http.request("GET", `${path}?${query}`, { headers, signal });
    if (response.status === 204 || response.body === null) return end({ why: "done" });
    sink.opened();
    await takeLines(response.body.getReader());
    end({ why: "broken" });
  }

  /** @param {ReadableStreamDefaultReader<Uint8Array>} reader */
  async function takeLines(reader) {
    const decoder = new TextDecoder();
    let rest = "";
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const lines = (rest + decoder.decode(part.value, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      sink.alive();
      for (const line of lines) {
        if (signal.aborted) return;
        if (line) sink.received(JSON.parse(line), bytesIn(line));
      }
      await gate.passed();
    }
  }

  /** @param {End} end */
  function end(end) {
    if (!signal.aborted) sink.ended(end);
    abort.abort();
  }

  read().catch((error) => {
    const problem = problemOf(error);
    end({ why: problem.status ? "refused" : "broken", problem });
  });
  return { close: () => abort.abort(), hold: (held) => gate.set(held) };
}
