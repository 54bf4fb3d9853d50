// The forms of the API reference: each sends its request to this server, and shows what it answers.

/** Characters of an answer that are shown. */
const SHOWN = 100_000;

for (const form of document.querySelectorAll("form.try[data-method]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (form.send) form.send();
    else form.dataset.socket === undefined ? request(form) : connect(form);
  });
}
document.getElementById("credentials").addEventListener("submit", (event) => event.preventDefault());

const key = () => document.getElementById("key").value.trim();

/** Where an answer is shown, line by line. */
class Answer {
  #pre;
  #stop;

  constructor(form) {
    this.#pre = form.querySelector("pre");
    this.#stop = form.querySelector(".stop");
    this.#pre.hidden = false;
    this.#pre.textContent = "";
  }

  /** Show the way to stop, as long as there is something to stop. */
  begin(stop) {
    this.#stop.hidden = false;
    this.#stop.onclick = stop;
  }

  end() {
    this.#stop.hidden = true;
  }

  /** Add to what is shown. What goes on coming is followed by who is at its end. */
  add(text, goesOn = true) {
    const following = goesOn && this.#pre.scrollTop + this.#pre.clientHeight >= this.#pre.scrollHeight - 4;
    this.#pre.textContent = (this.#pre.textContent + text).slice(-SHOWN);
    if (following) this.#pre.scrollTop = this.#pre.scrollHeight;
  }
}

/** The address that a form means, and the headers that it names. */
function target(form) {
  let path = form.dataset.path;
  const query = new URLSearchParams();
  const headers = {};
  for (const { name, value, dataset } of form.querySelectorAll("[data-in]")) {
    if (dataset.in === "path") path = path.replace(`{${name}}`, encodeURIComponent(value.trim()));
    else if (value === "") continue;
    else if (dataset.in === "header") headers[name] = value;
    else for (const each of name === "job" ? value.split(/[\s,]+/) : [value]) query.append(name, each);
  }
  const text = query.toString();
  return { url: text ? `${path}?${text}` : path, headers };
}

async function request(form) {
  const answer = new Answer(form);
  const abort = new AbortController();
  const { url, headers } = target(form);
  if (key()) headers.Authorization = `Bearer ${key()}`;
  const options = { method: form.dataset.method, headers, signal: abort.signal, cache: "no-store" };
  const { body, file } = form.elements;
  if (body) {
    options.body = body.value;
    headers["Content-Type"] = "application/json";
  } else if (file) {
    options.body = new FormData();
    for (const each of file.files) options.body.append("file", each);
  }
  answer.begin(() => abort.abort());
  try {
    await show(await fetch(url, options), answer);
  } catch (error) {
    answer.add(error.name === "AbortError" ? "\n(stopped)" : `\nno answer: ${error.message}`);
  } finally {
    answer.end();
  }
}

/** Status, headers, and the body as it comes; JSON with indents. */
async function show(response, answer) {
  const said = [...response.headers].map(([name, value]) => `${name}: ${value}\n`);
  answer.add(`${response.status} ${response.statusText}\n${said.join("")}\n`);
  if ((response.headers.get("Content-Type") ?? "").includes("json")) {
    const text = await response.text();
    try {
      answer.add(JSON.stringify(JSON.parse(text), null, 2), false);
    } catch {
      answer.add(text, false);
    }
    return;
  }
  if (response.body === null) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) answer.add(part.value);
}

/** A WebSocket cannot send a key: it takes a ticket for the job that the form names. */
async function connect(form) {
  const answer = new Answer(form);
  const { url } = target(form);
  const address = new URL(url, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  if (key()) {
    const job = form.elements.job?.value.trim();
    const made = await fetch(form.dataset.path.replace(/\/v1\/.*/, "/v1/tickets"), {
      method: "POST",
      headers: { "Authorization": `Bearer ${key()}`, "Content-Type": "application/json" },
      body: JSON.stringify({ jobs: job ? [job] : [] }),
    });
    if (!made.ok) return show(made, answer);
    address.searchParams.set("ticket", (await made.json()).ticket);
  }
  const socket = new WebSocket(address);
  const button = form.querySelector("[type=submit]");
  answer.begin(() => socket.close(1000));
  socket.onopen = () => {
    answer.add("(open)\n");
    button.textContent = "Send the message";
    form.send = () => {
      answer.add(`> ${form.elements.message.value}\n`);
      socket.send(form.elements.message.value);
    };
  };
  socket.onmessage = ({ data }) => answer.add(`${data}\n`);
  socket.onclose = ({ code, reason }) => {
    answer.add(`(closed: ${code} ${reason})\n`);
    button.textContent = "Open";
    delete form.send;
    answer.end();
  };
}
