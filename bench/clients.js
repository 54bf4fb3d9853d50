// One watch of the browser client, in Node: node --experimental-eventsource bench/clients.js MODULE BASE JOB,JOB TRANSPORT
// Prints the events of all jobs as JSON lines, and at last what the client counted.
import { watchAll } from "./watch_all.js";

globalThis.location ??= new URL(process.argv[3]);
globalThis.addEventListener ??= () => {};
globalThis.removeEventListener ??= () => {};

const [, , module, base, jobs, transport] = process.argv;
const { Streaming } = await import(module);
const print = (event) => console.log(JSON.stringify(event));
const stats = await watchAll(new Streaming({ base }), jobs.split(","), transport, print);
// Leaving at once would cut off what the pipe has not taken yet.
process.stdout.write(`${JSON.stringify({ stats })}\n`, () => process.exit(0));
