// Jobs to begin with, one click each: a task and an input for it. `files` of an input are sent
// first.

import { tText } from "./i18n.js";

const SALES = `month,revenue,costs,orders,refunds
2023-01,122507,91850,1779,2524
2023-02,122421,93089,1786,2636
2023-03,133107,98726,1927,2826
2023-04,132883,98780,1906,2874
2023-05,132670,97484,1948,2708
2023-06,139639,102880,2009,2819
2023-07,140210,102231,2003,3248
2023-08,143855,104466,2032,2887
2023-09,148438,108335,2118,3164
2023-10,151423,109113,2173,3413
2023-11,157942,113830,2232,3020
2023-12,163710,115063,2283,3372
2024-01,153683,111592,2182,3215
2024-02,155955,113148,2172,3461
2024-03,169914,120833,2370,10199
2024-04,170818,120927,2399,3315
2024-05,171947,123233,2405,3171
2024-06,173962,124625,2408,3780
2024-07,168204,120392,2387,3376
2024-08,178516,188627,2438,3784
2024-09,190734,134740,2611,4154
2024-10,197349,135815,2691,4463
2024-11,205293,140141,2791,4147
2024-12,203272,140664,2821,4530
`;

const NOTE = "The tide tables of the harbour were checked twice.\nNothing was missing.\n";

const sales = () => new File([SALES], "sales.csv", { type: "text/csv" });
const note = () => new File([NOTE], "note.txt", { type: "text/plain" });

/** Each names its task, and how often it is started if more than once; those of tasks that a server does not have are left out. */
export const PRESETS = [
  {
    name: "report",
    title: "Financial report",
    about: "Two years of sales: trends, anomalies, a chart and a summary.",
    task: "report",
    input: { csv: SALES, title: "Two years of sales", tokens_per_s: 40 },
  },
  {
    name: "generate",
    title: "Write a text",
    about: "Token by token, as a model gives it.",
    task: "generate",
    input: {
      prompt: "Write about the first year of a small observatory.",
      max_tokens: 300,
      tokens_per_s: 30,
    },
  },
  {
    name: "agent",
    title: "Ask the assistant",
    about: "It thinks, searches documents, calls tools, and cites its sources.",
    task: "agent",
    input: {
      question: "What happens to a lease at a cancel, and what is the mean of revenue?",
      table: sales,
      tokens_per_s: 40,
    },
  },
  {
    name: "analyze",
    title: "Analyze a CSV file",
    about: "Types, distributions and correlations, with charts.",
    task: "analyze",
    input: { file: sales, title: "Sales" },
  },
  {
    name: "train",
    title: "Train a model",
    about: "Loss and accuracy live, epoch by epoch.",
    task: "train",
    input: { epochs: 60, learning_rate: 0.5 },
  },
  {
    name: "files",
    title: "Check files",
    about: "Hash, type and text figures of each, and a manifest.",
    task: "files",
    input: { files: [sales, note] },
  },
  {
    name: "many",
    title: "Twelve jobs at once",
    about: "All of them watched over one connection.",
    task: "generate",
    input: { prompt: "Write about a day at sea.", max_tokens: 400, tokens_per_s: 20 },
    times: 12,
  },
  {
    name: "failing",
    title: "A job that fails",
    about: "What an error looks like: the model stops after 20 tokens.",
    task: "generate",
    input: { prompt: "A storm", fail_after: 20 },
  },
];

/** The input with its prompt in the page's language, and its files sent, for their ids. */
export async function prepared(input, upload) {
  const send = async (value) => {
    if (Array.isArray(value)) return Promise.all(value.map(send));
    return typeof value === "function" ? upload(value(), () => {}) : value;
  };
  const pairs = Object.entries(input).map(async ([name, value]) => [name, name === "prompt" ? tText(value) : await send(value)]);
  return Object.fromEntries(await Promise.all(pairs));
}
