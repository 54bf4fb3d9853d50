// What went wrong, and what to do about it: a problem object (RFC 9457) in its place.

import { el } from "./dom.js";
import { tNumbered, tText } from "./i18n.js";

/** What helps, by the code or the status of a problem. */
const REMEDIES = {
  401: "Give a key that the server knows.",
  404: "It was removed, or is somebody else's. Look at the list of jobs.",
  410: "Its time is over. Start it again.",
  413: "Make it smaller, or raise the server's limit.",
  429: "Wait a moment and try again.",
  503: "The server is busy or restarting. Try again in a moment.",
};

/** Show a problem in an element that is an alert; null takes it away. */
export function showProblem(place, problem) {
  place.hidden = problem === null;
  problem = problem && { message: problem.message, ...(problem.problem ?? problem) };
  if (place.said === JSON.stringify(problem)) return; // the same again need not be said again
  place.said = JSON.stringify(problem);
  if (problem === null) return place.replaceChildren();
  const lines = (problem.errors ?? []).map(({ field, message }) =>
    el("li", {}, (field ? `${field}: ` : "") + tNumbered(message)),
  );
  // The detail of several errors repeats them.
  const text = lines.length ? "" : (problem.detail ?? problem.message ?? String(problem));
  const remedy = REMEDIES[problem.status];
  place.replaceChildren(
    el("p", {}, el("b", {}, tText(problem.title ?? "It did not work")), text && `: ${text}`),
    ...(lines.length ? [el("ul", {}, lines)] : []),
    ...(remedy ? [el("p", { className: "hint" }, tText(remedy))] : []),
  );
}

/** An alert with a problem in it. */
export function problemBox(problem = null) {
  const place = el("div", { className: "problem", role: "alert" });
  showProblem(place, problem);
  return place;
}
