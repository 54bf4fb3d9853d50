// What the tests of the client have in the page: watches that remember what they were given.
async (module) => {
  const client = await import(module);
  const watches = [];

  /** Start a watch; its number. `then` is code of (event, watch) that is called with each event. */
  function start(job, { then = "", ...options }, settings) {
    window.streaming ??= new client.Streaming(settings);
    const reaction = new Function("event", "watch", "seen", then);
    const seen = { events: [], states: [], job: null };
    const watch = window.streaming.watch(job, {
      ...options,
      onEvent(event) {
        seen.events.push(event);
        seen.job = client.fold(seen.job, event);
        reaction(event, watch, seen);
      },
      onState: (state) => seen.states.push({ ...state, problem: plain(state.problem) }),
    });
    return watches.push({ watch, seen }) - 1;
  }

  /** An error as what it has. */
  const plain = (error) => error && { ...error };

  const show = ({ watch, seen }) => ({
    ...seen, position: watch.position, stats: watch.stats,
    state: { ...watch.state, problem: plain(watch.state.problem) },
  });

  Object.assign(window, { client, watches, start, show });
}
