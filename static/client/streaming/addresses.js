// Where a line finds what it is for, and how large what it gets is.
/** @import {Target} from "./lines.js" */

import { queryOf } from "./http.js";

const encoder = new TextEncoder();

/** Bytes of a text in UTF-8. @param {string} text */
export const bytesIn = (text) => encoder.encode(text).length;

/** The address of one job's stream. @param {Target} target @param {string} way */
export function watched(target, way) {
  const [[job, after]] = target.positions();
  return { path: `/jobs/${job}/${way}`, query: queryOf({ after, types: target.typesOf(job).join() }) };
}

/** The address of a feed, as short as can be: servers allow some 8,000 characters. @param {Target} target */
export function feed(target) {
  const positions = [...target.positions()];
  const jobs = positions.map(([job]) => `job=${job}`).join("&");
  const after = positions.filter(([, seq]) => seq > 0).map(([job, seq]) => `${job}:${seq}`).join();
  const types = typesOfAll(target, positions.map(([job]) => job));
  return { path: "/events", query: `${jobs}${types.length ? `&types=${types.join()}` : ""}&after=${after}` };
}

/** A feed has the same types for all: what any job's reader wants; none for all types. @param {Target} target @param {string[]} jobs */
function typesOfAll(target, jobs) {
  const wanted = jobs.map((job) => target.typesOf(job));
  return wanted.some((types) => types.length === 0) ? [] : [...new Set(wanted.flat())].sort();
}
