// What a job has made, shown in its place and to save. Nothing in it can run: pictures are images
// (also SVG), documents are in a frame that the server's answer puts into a sandbox.

import { el, save } from "./dom.js";
import { size, t } from "./i18n.js";
import { problemBox } from "./problem.js";
import { Prose } from "./prose.js";
import { client } from "./session.js";
import { csvTable, jsonTable } from "./table.js";

/** Bytes up to which something is shown and not only offered. */
const SHOWN_BYTES = 4 << 20;
const SHOWN_CHARACTERS = 50_000;

export class Artifacts {
  constructor() {
    this.node = el("div");
    this.shown = new Map();
  }

  /** Made again, it is shown again. */
  draw(artifacts) {
    for (const each of artifacts) {
      const known = this.shown.get(each.name);
      if (known?.entry === each) continue;
      const node = this.figure(each);
      if (known) known.node.replaceWith(node);
      else this.node.append(node);
      this.shown.set(each.name, { entry: each, node });
    }
  }

  figure(entry) {
    const about = el("span", { className: "hint grow" }, `${entry.media_type} · ${size(entry.size)}`);
    const button = el("button", { type: "button", className: "small" }, t("save"));
    button.onclick = () => this.saveOne(entry, button);
    const place = el("div");
    this.show(entry, place).catch((error) => place.replaceChildren(problemBox(error)));
    return el(
      "figure",
      { className: "artifact" },
      el("figcaption", {}, el("b", {}, entry.name), about, button),
      place,
    );
  }

  async show(entry, place) {
    const type = entry.media_type.split(";")[0].trim();
    if (entry.size > SHOWN_BYTES) return;
    if (type.startsWith("image/")) place.append(await image(entry));
    else if (type === "text/html") place.append(await frame(entry));
    else if (type.startsWith("text/") || type === "application/json")
      place.append(shownText(type, await text(entry)));
  }

  async saveOne(entry, button) {
    button.disabled = true;
    try {
      save(await fetched(entry), entry.name);
    } catch (error) {
      button.closest("figure").append(problemBox(error));
    } finally {
      button.disabled = false;
    }
  }
}

const jobOf = ({ href }) => href.split("/").at(-3);
const addressOf = (entry) => client.artifactUrl(jobOf(entry), entry.name);
const fetched = (entry) => client.artifact(jobOf(entry), entry.name);
const text = async (entry) => (await fetched(entry)).text();

const image = async (entry) =>
  el("img", { src: await addressOf(entry), alt: t("name_drawn_job", entry) });

const frame = async (entry) =>
  el("iframe", { src: await addressOf(entry), title: entry.name, sandbox: "", loading: "lazy" });

function shownText(type, content) {
  if (type === "text/csv") return csvTable(content);
  if (type === "application/json") return shownJson(content);
  if (type === "text/markdown") {
    const prose = new Prose();
    prose.show(content, true);
    return prose.node;
  }
  return pre(content);
}

function shownJson(content) {
  try {
    const value = JSON.parse(content);
    return jsonTable(value) ?? pre(JSON.stringify(value, null, 2));
  } catch {
    return pre(content); // no JSON, whatever it calls itself: shown as it is
  }
}

function pre(content) {
  const cut = content.length > SHOWN_CHARACTERS ? `${content.slice(0, SHOWN_CHARACTERS)}…` : content;
  return el("pre", { tabIndex: 0 }, cut);
}
