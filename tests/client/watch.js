// Watches jobs with the browser client, in Node: watch.js MODULE BASE {"JOB": AFTER} TYPES
// Prints each event as a line of JSON, and at last the problem with which it ended, or null.

globalThis.location ??= new URL(process.argv[3]);
globalThis.addEventListener ??= () => {};
globalThis.removeEventListener ??= () => {};

const [, , module, base, jobs, types] = process.argv;
const { Streaming } = await import(module);
const streaming = new Streaming({ base, transports: ["sse", "poll"] });
const positions = Object.entries(JSON.parse(jobs));
const shared = positions.length > 1;

const ended = await Promise.all(positions.map(([id, after]) => new Promise((resolve) => {
  streaming.watch(id, {
    after, shared, types: types ? types.split(",") : [],
    onEvent: (event) => console.log(JSON.stringify(event)),
    onState: ({ name, problem }) => { if (name === "closed") resolve(problem); },
  });
})));
const problem = ended.find((each) => each);
console.log(JSON.stringify({ problem: problem ? { status: problem.status, code: problem.code } : null }));
process.exit(0);
