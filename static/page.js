// The page: start a job, watch its log live, leave and come back, cancel it. What a job writes is
// shown as text, never as markup.

const $ = (id) => document.getElementById(id);
const root = document.body.dataset.root; // what stands before every path, behind a proxy
const TERMINAL = ["completed", "failed", "cancelled"];
const MARKS = { pending: "○", running: "●", completed: "✓", failed: "✕", skipped: "–" };
const LOG_LINES = 200;
const MAX_BACKOFF_S = 10;

let key = sessionStorage.getItem("api_key") ?? "";
let tasks = [];
let id = ""; // the job that is watched: the address's #fragment
let job = null; // its state: a snapshot, and every event since
let position = null; // seq of the last event in that state; null: there is none yet
let failures = 0; // streams in a row that gave nothing
let stop = () => {}; // ends the present stream, or the wait for the next

// -- talking to the server

/** A request, with the key if there is one. Throws what the server says when it refuses. */
async function call(path, { headers, ...options } = {}) {
  const authorization = key ? { Authorization: `Bearer ${key}` } : {};
  const response = await fetch(root + path, { ...options, headers: { ...headers, ...authorization } });
  if (response.ok) return response;
  if (response.status === 401) $("key-form").hidden = false;
  const problem = await response.json().catch(() => ({ detail: `The server answered ${response.status}.` }));
  throw Object.assign(new Error(problem.detail), { problem, status: response.status });
}

const callJson = async (path, options) => (await call(path, options)).json();

const post = (path, body) =>
  callJson(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

/** A file as an address that needs no key. With another type a browser saves it and runs nothing. */
async function blobUrl(path, type) {
  const blob = await (await call(path)).blob();
  return URL.createObjectURL(type ? blob.slice(0, blob.size, type) : blob);
}

const problemOf = (error) => error.problem ?? { detail: `No answer from the server: ${error.message}` };

// -- the fold: what each event does to the job's state

const FOLD = {
  "job.started": (data) => { job.attempt = data.attempt; become("running"); },
  "job.progress": (data) => { job.progress = data; },
  "job.cancel_requested": () => become("cancelling"),
  "job.completed": () => { job.progress = { percent: 100 }; become("completed"); },
  "job.failed": (data) => { job.error = data.error; become("failed"); },
  "job.cancelled": () => become("cancelled"),
  "input.requested": (data) => { become("waiting_for_input"); log("asks", data.prompt); },
  "input.received": () => become("running"),
  "step.updated": (data) => put(job.steps, "id", data),
  "text.delta": (data) => textNode(data.item).appendData(data.text),
  "text.reset": (data) => { textNode(data.item).data = ""; },
  "tool.call": (data) => log("tool", data.name),
  "alert": (data) => put(job.alerts, "rule", data),
  "artifact": (data) => { put(job.artifacts, "name", data); drawArtifacts(); },
  "log": (data) => log(data.level, data.message),
};

function become(status) {
  if (job.status !== "cancelling" || TERMINAL.includes(status)) job.status = status;
}

function put(list, name, entry) {
  const known = list.findIndex((each) => each[name] === entry[name]);
  list.splice(known < 0 ? list.length : known, 1, entry);
}

/** The next event of the stream, or word about the stream itself. */
function receive({ type, seq, data }) {
  if (type === "stream.snapshot") adopt(data.job);
  if (type === "stream.gap") log("stream", `events ${data.from} to ${data.to} cannot be had any more`);
  if (type === "stream.degraded") tell(data.level ? `degraded: ${data.why}` : "live");
  if (type === "stream.closing") reconnect(data.retry_s);
  if (!seq || seq <= position) return;

  position = seq;
  failures = 0;
  FOLD[type]?.(data);
  if (type !== "text.delta") draw();
}

/** Go on from a snapshot: it stands for all events up to its seq. */
function adopt(snapshot) {
  job = snapshot;
  position = job.seq;
  failures = 0;
  $("texts").replaceChildren();
  for (const { item, text } of job.texts) textNode(item).data = text;
  drawArtifacts();
  draw();
}

// -- watching

/** Watch the job that the address names: from `snapshot`, or from one that the server gives. */
function watch(snapshot = null) {
  stop();
  id = location.hash.slice(1);
  job = position = null;
  failures = 0;
  $("lines").replaceChildren();
  $("log").hidden = $("watched").hidden = true;
  $("nothing").hidden = id !== "";
  showProblem($("job-problem"), null);
  if (snapshot) adopt(snapshot);
  if (id) connect();
}

function connect() {
  stop();
  const path = `/v1/jobs/${encodeURIComponent(id)}/events?`;
  const start = position === null ? "from=snapshot" : `after=${position}`;
  // An EventSource cannot send a key: with one, the same stream is fetched as lines of JSON.
  stop = (key ? readLines : listen)(path + start);
}

function listen(path) {
  const source = new EventSource(root + path);
  source.onopen = () => tell("live");
  source.onmessage = (message) => receive(JSON.parse(message.data));
  source.onerror = () => {
    // It comes back by itself from a broken connection, but not from an answer other than 200.
    if (source.readyState === EventSource.CLOSED) lookAgain();
    else tell("connection lost, reconnecting");
  };
  return () => source.close();
}

function readLines(path) {
  const abort = new AbortController();
  const again = () => abort.signal.aborted || lookAgain();
  pump(path, abort.signal).then(again, again);
  return () => abort.abort();
}

async function pump(path, signal) {
  const response = await call(path, { headers: { Accept: "application/x-ndjson" }, signal });
  if (response.body === null) return;
  tell("live");
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const lines = (rest + part.value).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line && !signal.aborted) receive(JSON.parse(line));
  }
}

/** The stream is gone and does not come back by itself: learn why, and go on where that helps. */
async function lookAgain() {
  stop();
  const watched = id;
  try {
    const snapshot = await callJson(`/v1/jobs/${encodeURIComponent(id)}`);
    if (watched !== id) return;
    if (TERMINAL.includes(snapshot.status)) adopt(snapshot);
    else reconnect();
  } catch (error) {
    if (watched !== id) return;
    if ([401, 403, 404, 410].includes(error.status)) showProblem($("job-problem"), error.problem);
    else reconnect();
  }
}

/** Another stream after a while: as long as the server asks for, and longer after each failure. */
function reconnect(retry_s = 0) {
  stop();
  const backoff_s = Math.min(MAX_BACKOFF_S, 0.5 * 2 ** failures++) * (0.5 + Math.random());
  const wait_s = Math.max(retry_s, backoff_s);
  tell(`reconnecting in ${duration(wait_s)}`);
  const timer = setTimeout(connect, wait_s * 1000);
  stop = () => clearTimeout(timer);
}

// -- drawing

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function duration(s) {
  if (s < 0.1) return `${Math.max(1, Math.round(s * 1000))} ms`;
  return s < 10 ? `${s.toFixed(1)} s` : s < 90 ? `${Math.round(s)} s` : `${Math.round(s / 60)} min`;
}

const tell = (text) => { $("connection").textContent = text; };

/** A refusal or failure in its place, with the fields that it names; null takes it away. */
function showProblem(place, problem) {
  place.hidden = problem === null;
  const shown = ({ field, message }) => element("li", {}, `${field.replace(/^input\./, "")}: ${message}`);
  const fields = (problem?.errors ?? []).map(shown);
  const head = fields.length ? problem.title : problem?.detail;
  place.replaceChildren(element("p", {}, head ?? ""), element("ul", {}, ...fields));
}

function draw() {
  const ended = TERMINAL.includes(job.status);
  if (ended) { stop(); tell(""); }
  const status = job.status.replaceAll("_", " ");
  // Set only when it changes: a screen reader says it each time.
  if ($("status").textContent !== status) $("status").textContent = status;
  $("status").dataset.status = job.status;
  $("cancel").hidden = ended;
  $("cancel").disabled = job.status === "cancelling";
  $("snapshot").href = root + job.links.self;
  $("job-task").textContent = titleOf(job.task) + (job.attempt > 1 ? `, attempt ${job.attempt}` : "");
  if (job.error) showProblem($("job-problem"), job.error);

  const { percent, eta_s, basis } = job.progress;
  const left = ended || eta_s == null ? "" : ` · about ${duration(eta_s)} left (${basis})`;
  $("progress").value = percent;
  $("progress-label").textContent = `${Math.round(percent)} %${left}`;
  document.title = `${ended ? status : `${Math.round(percent)} %`} · Streaming jobs`;
  $("steps").replaceChildren(...job.steps.map(drawStep));
  $("alerts").replaceChildren(...job.alerts.map(drawAlert));
  $("watched").hidden = false;
}

const titleOf = (name) => tasks.find((task) => task.name === name)?.title ?? name;

function drawStep({ title, status, duration_s }) {
  const mark = element("span", { className: "mark", role: "img", ariaLabel: status }, MARKS[status]);
  const time = element("span", { className: "hint" }, duration_s == null ? "" : duration(duration_s));
  const made = element("li", {}, mark, element("span", {}, title), time);
  made.dataset.status = status;
  return made;
}

function drawAlert({ severity, state, message }) {
  const kind = state === "resolved" ? state : severity;
  const made = element("li", {}, element("b", {}, kind), ` ${message}`);
  made.dataset.kind = kind;
  return made;
}

function drawArtifacts() {
  const figures = job.artifacts.map(({ name, media_type, size, href }) => {
    const link = element("a", { href: root + href, target: "_blank", rel: "noopener" }, name);
    link.dataset.file = name;
    if (media_type.startsWith("image/")) link.prepend(image(href));
    return element("figure", {}, link, element("span", { className: "hint" }, ` ${Math.ceil(size / 1024)} KB`));
  });
  $("artifacts").replaceChildren(...figures);
}

/** An image: of what a job has drawn, nothing runs in it. */
function image(href) {
  const made = element("img", { alt: "Image made by the job:" });
  if (!key) made.src = root + href;
  else blobUrl(href).then((url) => { made.onload = () => URL.revokeObjectURL(url); made.src = url; }, () => {});
  return made;
}

/** Where an item's text grows. */
function textNode(item) {
  const known = [...$("texts").children].find((each) => each.dataset.item === item);
  if (known) return known.lastChild.firstChild;
  const title = job.steps.find((step) => step.id === item)?.title ?? item;
  const text = document.createTextNode("");
  const box = element("div", { className: "text", dir: "auto" }, text);
  const made = element("article", {}, element("h3", {}, title), box);
  made.dataset.item = item;
  $("texts").append(made);
  return text;
}

function log(level, message) {
  $("log").hidden = false;
  $("lines").append(element("li", {}, element("b", {}, level), ` ${message}`));
  if ($("lines").children.length > LOG_LINES) $("lines").firstChild.remove();
}

// -- the form

const chosen = () => tasks.find((task) => task.name === $("task").value);
const fieldset = () => document.querySelector(`fieldset[data-task="${CSS.escape(chosen().name)}"]`) ?? $("other");

function chooseTask() {
  for (const each of document.querySelectorAll("fieldset")) each.hidden = each !== fieldset();
  $("description").textContent = chosen().description;
  if (fieldset() === $("other")) $("input").value = JSON.stringify(example(chosen().input_schema), null, 2);
}

/** An input to begin with, from the members that a JSON Schema requires or has defaults for. */
function example({ properties = {}, required = [] }) {
  const blank = { string: "", integer: 0, number: 0, boolean: false, array: [], object: {} };
  const shown = Object.entries(properties).filter(([name, each]) => each.default != null || required.includes(name));
  return Object.fromEntries(shown.map(([name, each]) => [name, each.default ?? blank[each.type] ?? null]));
}

function readInput() {
  if (fieldset() === $("other")) return JSON.parse($("input").value);
  const filled = [...fieldset().elements].filter((each) => each.name && each.value !== "");
  const valueOf = ({ type, value }) => (type === "number" ? Number(value) : value);
  return Object.fromEntries(filled.map((each) => [each.name, valueOf(each)]));
}

async function start(event) {
  event.preventDefault();
  let problem = null;
  $("start").disabled = true;
  try {
    const snapshot = await post("/v1/jobs", { task: chosen().name, input: readInput() });
    history.pushState(null, "", `#${snapshot.id}`);
    watch(snapshot);
    $("job-title").focus();
  } catch (error) {
    problem = error instanceof SyntaxError ? { detail: `This is not JSON: ${error.message}` } : problemOf(error);
  }
  $("start").disabled = false;
  showProblem($("form-problem"), problem);
  const refused = (problem?.errors ?? []).map(({ field }) => field);
  for (const each of fieldset().elements) each.ariaInvalid = refused.includes(`input.${each.name}`) ? "true" : null;
  fieldset().querySelector("[aria-invalid]")?.focus();
}

async function cancel() {
  $("cancel").disabled = true;
  try {
    await post(job.links.cancel, {});
  } catch (error) {
    $("cancel").disabled = false;
    showProblem($("job-problem"), problemOf(error));
  }
}

/** The link of a file sends no key: with one, the file is fetched and saved. */
async function save(event) {
  const link = event.target.closest("a[data-file]");
  if (!key || !link) return;
  event.preventDefault();
  const url = await blobUrl(link.pathname.slice(root.length), "application/octet-stream");
  element("a", { href: url, download: link.dataset.file }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** Learn the tasks, and with that whether a key is needed. */
async function begin() {
  try {
    ({ tasks } = await callJson("/v1/tasks"));
    $("task").replaceChildren(...tasks.map((task) => element("option", { value: task.name }, task.title)));
    $("key-form").hidden = true;
    $("form").hidden = false;
    showProblem($("page-problem"), null);
    chooseTask();
    watch();
  } catch (error) {
    showProblem($("page-problem"), error.status === 401 && !key ? null : problemOf(error));
  }
}

$("task").onchange = chooseTask;
$("form").onsubmit = start;
$("cancel").onclick = cancel;
$("key-form").onsubmit = (event) => {
  event.preventDefault();
  key = $("key").value.trim();
  sessionStorage.setItem("api_key", key);
  begin();
};
document.onclick = save;
onhashchange = () => watch();
ononline = () => { if (job && !TERMINAL.includes(job.status)) connect(); };
begin();
