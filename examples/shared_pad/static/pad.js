// The pad: a Yjs document whose updates go into the job's log as inputs, and come back from it in one order.

import { ENDED, Streaming } from "/v1/streaming.js";
import { Doc, applyUpdate, fromBase64, mergeUpdates, toBase64 } from "./yjs/yjs.min.js";

/** Milliseconds until another try to send what could not be sent. */
const AGAIN_MS = 500;

const pad = document.getElementById("pad"), said = document.getElementById("said");
const job = document.querySelector("main").dataset.job;
const client = new Streaming();
const doc = new Doc(), text = doc.getText("text");
let unsent = [], sending = false;

/** The saved text, and every change since; without one, every change. */
async function open() {
  const { artifacts, status } = await client.job(job);
  const saved = artifacts.some(({ name }) => name === "pad.json")
    ? JSON.parse(await (await client.artifact(job, "pad.json")).text())
    : { after: 0 };
  if (saved.update) applyUpdate(doc, fromBase64(saved.update), "log");
  pad.disabled = ENDED.includes(status);
  client.watch(job, { after: saved.after, types: ["input.received"], onEvent: take, onState: tell });
}

/** @param {any} event */
function take({ type, data }) {
  if (type === "input.received") applyUpdate(doc, fromBase64(data.data.update), "log");
  else if (type.startsWith("job.")) pad.disabled = true;
}

function tell({ name, reason } = {}) {
  if (name) tell.state = name === "closed" ? `closed: ${reason}` : name;
  said.textContent = `${tell.state}${unsent.length || sending ? ", not all is sent" : ""}`;
}

/** All that has gathered, as one change. One that was sent twice changes nothing. */
async function send() {
  if (sending) return;
  sending = true;
  while (unsent.length) {
    const these = unsent.splice(0);
    tell();
    try {
      await client.answer(job, { update: toBase64(mergeUpdates(these)) });
    } catch (problem) {
      if (!problem.retryable) {
        pad.disabled = true;
        tell({ name: `not taken: ${problem.message}` });
        break;
      }
      unsent.unshift(...these);
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }
  sending = false;
  tell();
}

doc.on("update", (update, origin) => {
  if (origin === "log") return;
  unsent.push(update);
  send();
});

/** What was typed: the part in which the texts differ. */
pad.addEventListener("input", () => {
  const before = text.toString(), after = pad.value;
  const most = Math.min(before.length, after.length);
  let start = 0, end = 0;
  while (start < most && before[start] === after[start]) start += 1;
  while (end < most - start && before.at(-1 - end) === after.at(-1 - end)) end += 1;
  doc.transact(() => {
    text.delete(start, before.length - start - end);
    text.insert(start, after.slice(start, after.length - end));
  }, "typed");
});

/** What others typed: the cursor stays between the characters where it was. */
text.observe(({ delta }, { origin }) => {
  if (origin === "typed") return;
  const moved = [pad.selectionStart, pad.selectionEnd].map((place) => {
    let at = 0;
    for (const { retain = 0, insert = "", delete: gone = 0 } of delta) {
      at += retain;
      if (insert && at < place) place += insert.length;
      if (gone && at < place) place -= Math.min(gone, place - at);
      at += insert.length;
    }
    return place;
  });
  pad.value = text.toString();
  pad.setSelectionRange(moved[0], moved[1]);
});

open();
