// The page: which view the address asks for, the key, the language, light and dark.

import { chatView } from "./chat.js";
import { CompareView } from "./compare.js";
import { el, freshId } from "./dom.js";
import * as i18n from "./i18n.js";
import { MonitorView } from "./monitor.js";
import { problemBox, showProblem } from "./problem.js";
import { hasKey, loadTasks, useKey } from "./session.js";
import { StartView } from "./start.js";
import * as theme from "./theme.js";
import { JobView } from "./job.js";

const { t } = i18n;
const $ = (id) => document.getElementById(id);

/** Milliseconds between two tries while the server is away. */
const AGAIN_MS = 2000;

/** The first word of the address (`#/jobs/ID`): the view, and the tab that it belongs to. */
const VIEWS = {
  "": { tab: "start", title: "start", open: () => new StartView() },
  jobs: { tab: "start", title: "job", open: (id) => (id ? new JobView(id) : new StartView()) },
  compare: { tab: "compare", title: "compare", open: () => new CompareView() },
  monitor: { tab: "monitor", title: "monitor", open: () => new MonitorView() },
  chat: { tab: "chat", title: "chat", open: chatView },
};

let loaded = false;
let view = null;
/** Another look, while the server is away. */
let again = 0;
let away = document.createElement("div");

/** Show the view that the address names, in place of the one before. */
async function show() {
  const address = location.hash || "#/";
  const [, word = "", id = ""] = address.split("?")[0].split("/");
  clearTimeout(again);
  const { tab, title, open } = VIEWS[word] ?? VIEWS[""];
  view?.close?.();
  view = null;
  mark(tab);
  try {
    if (!loaded) await loadTasks();
    loaded = true;
  } catch (error) {
    if (error.status === 401) return put(keyForm(error));
    again = setTimeout(show, AGAIN_MS);
    return away.isConnected ? undefined : put(failure(error));
  }
  if (address !== (location.hash || "#/") || view) return; // somebody was faster
  document.title = `${t(title)} · ${t("streaming_jobs")}`;
  view = open(id);
  put(view.node);
  document.body.dataset.shown = address;
}

const put = (node) => $("view").replaceChildren(node);

function mark(tab) {
  for (const each of document.querySelectorAll(".tabs a")) {
    if (each.dataset.view === tab) each.setAttribute("aria-current", "page");
    else each.removeAttribute("aria-current");
  }
  $("forget-key").hidden = !hasKey();
}

/** The server cannot be reached: say so, and offer to try again. */
function failure(error) {
  return (away = el(
    "div",
    { className: "stack" },
    el("p", { className: "away" }, el("b", {}, t("the_server_is_away")), " ", t("your_jobs_are_safe_they")),
    problemBox(error),
    el("div", {}, el("button", { type: "button", onclick: show }, t("try_now"))),
  ));
}

/** Asks for a key; says that the one given was refused, if there was one. */
function keyForm(error) {
  const input = el("input", { id: freshId("key"), type: "password", autocomplete: "off", required: true });
  const hint = el(
    "p",
    { className: "hint", id: freshId("hint") },
    t("server_asks_key_kept_until"),
  );
  input.setAttribute("aria-describedby", hint.id);
  const problem = problemBox();
  if (hasKey())
    showProblem(problem, {
      ...error.problem,
      title: "This key was refused",
      detail: t("check_missing_characters_ask_who"),
    });
  const form = el(
    "form",
    { className: "card schema key" },
    el("h1", {}, t("api_key")),
    el("div", { className: "field" }, el("label", { htmlFor: input.id }, t("api_key")), input, hint),
    problem,
    el("button", { className: "main" }, t("use_this_key")),
  );
  form.onsubmit = (event) => {
    event.preventDefault();
    useKey(input.value);
    show();
  };
  return form;
}

function dress() {
  i18n.translate(document);
  $("language").textContent = i18n.other().name;
  $("language").lang = i18n.other().code;
  $("theme").textContent = theme.theme() === "dark" ? t("light") : t("dark");
}

$("language").onclick = () => {
  i18n.change();
  dress();
  show();
};
$("theme").onclick = () => {
  theme.toggle();
  dress();
};
$("forget-key").onclick = () => {
  useKey("");
  loaded = false;
  show();
};
addEventListener("hashchange", async () => {
  await show();
  $("view").focus({ preventScroll: true });
  scrollTo(0, 0);
});
dress();
show();
