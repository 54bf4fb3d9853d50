// MCP's clients for Node: the older SDK, and the newer with both revisions.
import * as old from "@modelcontextprotocol/sdk/client/index.js";
import * as oldHttp from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

const [base] = process.argv.slice(2);
const url = new URL(`${base}/mcp`);
const report = (what, found) => console.log(JSON.stringify({ what, ...found }));
const info = { name: "test", version: "1" };
const said = { messages: [{ role: "user", content: "x" }] };
const answer = async () => ({ action: "accept", content: { colour: "red" } });

async function tryOut(name, call, ask) {
  const progress = [];
  const done = await call("pacing", { times: 5 }, (each) => progress.push(each.progress));
  report(`${name} called`, { result: done.structuredContent, progress });
  const failed = await call("breaking", said);
  report(`${name} failed`, { isError: failed.isError });
  if (!ask) return;
  const asked = await call("asking", said);
  report(`${name} asked`, { text: asked.content[0].text });
}

const first = new old.Client(info, { capabilities: { elicitation: {} } });
first.setRequestHandler(ElicitRequestSchema, answer);
await first.connect(new oldHttp.StreamableHTTPClientTransport(url));
await tryOut("old sdk", (name, args, onprogress) => first.callTool(
  { name, arguments: args }, undefined, { onprogress }), true);
const controller = new AbortController();
const running = first.callTool({ name: "pacing", arguments: { times: 600 } }, undefined, {
  signal: controller.signal, onprogress: () => controller.abort(),
}).catch((error) => error);
await running;
const listed = await (await fetch(`${base}/v1/jobs?task=pacing&limit=1`)).json();
report("old sdk cancelled", { job: listed.jobs[0].id });
await first.close();

for (const [name, options] of [
  ["client", {}],
  ["client stateless", { versionNegotiation: { mode: "auto" } }],
]) {
  const client = new Client(info, { capabilities: { elicitation: { form: {} } }, ...options });
  client.setRequestHandler("elicitation/create", answer);
  await client.connect(new StreamableHTTPClientTransport(url));
  await tryOut(name, (tool, args, onprogress) => client.callTool(
    { name: tool, arguments: args }, { onprogress }), true);
  await client.close();
}
process.exit(0);
