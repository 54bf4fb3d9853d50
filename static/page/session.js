// The server that the page talks to, and the key for it, which is kept as long as the tab.

import { tText } from "./i18n.js";
import { Streaming } from "../client/streaming.js";

/** What stands before every path, behind a proxy. */
export const root = document.body.dataset.root;

/** Whether the simulated model answers here. */
const isSimulated = "simulated" in document.body.dataset;
/** The service's own tasks that a model answers. */
const ANSWERED = ["generate", "chat", "agent", "report"];

/** Whether the simulated model has written in a job, or will. */
export const writtenBySimulated = ({ task, simulated, finished_at }) =>
  simulated || (isSimulated && !finished_at && ANSWERED.includes(task));

let key = sessionStorage.getItem("api_key") ?? "";

/** The client, with the present key. Another key makes another one. */
export let client = connect();

function connect() {
  return new Streaming({ base: root, key: key || undefined });
}

/** The tasks that the server has, once they are loaded. */
export let tasks = [];

/** Learn the tasks; throws a Problem, with status 401 where the server wants another key. */
export async function loadTasks() {
  tasks = await client.tasks();
}

/** A task's title, or its name where the server does not have it any more. */
export const taskTitle = (name) => tText(tasks.find((each) => each.name === name)?.title ?? name);

/** A task's title as the server has it. */
export const rawTitle = (name) => tasks.find((each) => each.name === name)?.title;

/** What a job is called: by who started it, else as its task is. */
export function titleOf({ task, title }) {
  const ofTask = tasks.find((each) => each.name === task)?.title;
  return title && title !== task && title !== ofTask ? title : taskTitle(task);
}

export const hasKey = () => key !== "";

/** Take another key; an empty one forgets it. */
export function useKey(wanted) {
  client.close();
  key = wanted.trim();
  if (key) sessionStorage.setItem("api_key", key);
  else sessionStorage.removeItem("api_key");
  client = connect();
}

/** Send a file; its id. `tell` gets the share that is sent. */
export async function upload(file, tell) {
  const { id } = await client.upload(file, { onProgress: (sent, total) => tell(total ? sent / total : 0) });
  return id;
}
