/**
 * Watch jobs to their end over one transport, "feed" for all of them over one connection: each event goes to `onEvent`.
 * Resolves to what the client counted.
 */
export async function watchAll(streaming, jobs, transport, onEvent) {
  const counted = { lost: 0, repeated: 0 };
  await Promise.all(jobs.map((job) => new Promise((resolve, reject) => {
    const watch = streaming.watch(job, {
      transport: transport === "feed" ? "sse" : transport,
      shared: transport === "feed",
      onEvent,
      onState({ name, problem }) {
        if (name !== "closed") return;
        counted.lost += watch.stats.lost;
        counted.repeated += watch.stats.repeated;
        problem ? reject(problem) : resolve();
      },
    });
  })));
  streaming.close();
  return counted;
}
