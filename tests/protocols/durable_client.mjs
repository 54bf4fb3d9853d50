// Durable Streams' own client. Prints one JSON line a finding.
import { DurableStream, stream } from "@durable-streams/client";

const [base, job] = process.argv.slice(2);
const url = `${base}/v1/jobs/${job}/stream`;
for (const live of ["sse", "long-poll"]) {
  const log = await stream({ url, offset: "-1", live });
  const items = [];
  await new Promise((resolve, reject) => {
    log.subscribeJson(async (batch) => {
      items.push(...batch.items);
      if (items.at(-1)?.type.startsWith("job.completed")) resolve();
    });
    log.closed.catch(reject);
  });
  console.log(JSON.stringify({ live, seqs: items.map((each) => each.seq) }));
}
const head = await DurableStream.head({ url });
console.log(JSON.stringify({ live: "head", offset: head.offset }));
process.exit(0);
