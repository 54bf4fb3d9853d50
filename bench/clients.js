// One watch of the browser client, in Node: node --experimental-eventsource bench/clients.js MODULE BASE JOB,JOB TRANSPORT
// Prints the events of all jobs as JSON lines, and at last what the client counted.

globalThis.location ??= new URL(process.argv[3]);
globalThis.addEventListener ??= () => {};
globalThis.removeEventListener ??= () => {};

const [, , module, base, jobs, transport] = process.argv;
const { Streaming } = await import(module);
const streaming = new Streaming({ base });
const ids = jobs.split(",");
const given = { lost: 0, repeated: 0 };

await Promise.all(ids.map((id) => new Promise((resolve, reject) => {
  const watch = streaming.watch(id, {
    transport: transport === "feed" ? "sse" : transport,
    shared: transport === "feed",
    onEvent: (event) => console.log(JSON.stringify(event)),
    onState: ({ name, problem }) => {
      if (name !== "closed") return;
      given.lost += watch.stats.lost;
      given.repeated += watch.stats.repeated;
      problem ? reject(problem) : resolve();
    },
  });
})));
streaming.close();
// Leaving at once would cut off what the pipe has not taken yet.
process.stdout.write(`${JSON.stringify({ stats: given })}\n`, () => process.exit(0));
