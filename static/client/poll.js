/* Watches a job by long polling, for browsers that have neither EventSource nor modules (ES5):
 *
 *   <script src="/v1/poll.js"></script>
 *   var watch = pollJob("/v1/jobs/job_…/poll", {
 *     onEvent: function (event) {},          // each once, in order: {seq, type, job, at, data}
 *     onEnd: function (problem) {},          // undefined: the job has ended; else a problem object
 *     onState: function (state) {},          // "live", or "waiting" while the server is away
 *     after: 0, types: "text.delta", headers: {Authorization: "Bearer …"}    // each if wanted
 *   });
 *   watch.position;  watch.close();
 *
 * The address is the job's links.poll. It goes on until the job ends, over any number of failures. */
function pollJob(address, options) {
  "use strict";
  var WAIT_S = 25, FIRST_PAUSE_MS = 250, LONGEST_PAUSE_MS = 10000, EARLY_MS = 1000;
  var watch = { position: options.after || 0, close: close };
  var failures = 0, closed = false, request = null, timer = null;

  function poll() {
    var began = new Date().getTime();
    var query = "?after=" + watch.position + "&wait=" + WAIT_S + (options.types ? "&types=" + options.types : "");
    request = new XMLHttpRequest();
    request.open("GET", address + query);
    for (var name in options.headers || {}) request.setRequestHeader(name, options.headers[name]);
    request.timeout = (WAIT_S + 10) * 1000;
    request.onload = function () { answered(request, new Date().getTime() - began); };
    request.onerror = request.ontimeout = function () { again(); };
    request.send();
  }

  function answered(answer, tookMs) {
    var body = parse(answer.responseText);
    if (answer.status !== 200 || !body || !body.events) return refused(answer, body || {});
    failures = 0;
    tell("onState", "live");
    for (var i = 0; i < body.events.length && !closed; i++) take(body.events[i]);
    if (closed) return;
    if (body.next > watch.position) watch.position = body.next; // beyond what is filtered out
    if (body.closed) return end();
    // An empty answer that comes at once: the server has no room for waiting now.
    timer = setTimeout(poll, body.events.length || tookMs > EARLY_MS ? 0 : EARLY_MS);
  }

  function take(event) {
    if (event.seq && event.seq <= watch.position) return;
    watch.position = event.type === "stream.snapshot" ? event.data.seq : event.seq || watch.position;
    tell("onEvent", event);
  }

  function refused(answer, problem) {
    var passing = answer.status >= 500 || answer.status === 429 || answer.status === 408 || answer.status < 400;
    if (passing) return again(Number(answer.getResponseHeader("Retry-After")) * 1000);
    problem.status = problem.status || answer.status;
    problem.detail = problem.detail || "The server answered " + answer.status + ".";
    end(problem);
  }

  function again(askedMs) {
    if (closed) return;
    var pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * Math.pow(2, failures++));
    tell("onState", "waiting");
    timer = setTimeout(poll, Math.max(askedMs || 0, pause * (0.5 + Math.random() / 2)));
  }

  function end(problem) {
    close();
    tell("onEnd", problem);
  }

  function close() {
    closed = true;
    clearTimeout(timer);
    if (request) {
      request.onload = request.onerror = request.ontimeout = null;
      request.abort();
    }
  }

  // What the page does wrong with an event must not end the watch.
  function tell(name, given) {
    try {
      if (options[name]) options[name](given);
    } catch (error) {
      setTimeout(function () { throw error; }, 0);
    }
  }

  function parse(text) {
    try { return JSON.parse(text); } catch (error) { return null; }
  }

  poll();
  return watch;
}
