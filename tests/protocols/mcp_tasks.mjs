// The session of MCP's tasks extension: calls that become tasks, one of which a later process takes up.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { createTaskSessionFromClient } from "@modelcontextprotocol/ext-tasks/client";

const [base, reference] = process.argv.slice(2);
const url = new URL(`${base}/mcp`);
const report = (what, found) => console.log(JSON.stringify({ what, ...found }));
const protocolVersion = "2026-07-28";
const clientInfo = { name: "test", version: "1" };
const clientCapabilities = { elicitation: { form: {} } };
const said = { messages: [{ role: "user", content: "x" }] };

let asked = 0;
async function rawDispatch(request, { signal, context } = {}) {
  const { name } = request.params;
  const headers = {
    "Content-Type": "application/json",
    Accept: "application/json, text/event-stream",
    "MCP-Protocol-Version": protocolVersion,
    "Mcp-Method": request.method,
    ...(name && { "Mcp-Name": name }),
    ...context?.headers,
  };
  const body = JSON.stringify({ jsonrpc: "2.0", id: ++asked, ...request });
  const response = await fetch(url, { method: "POST", headers, body, signal });
  const { result, error } = await response.json();
  return error ? { kind: "error", error } : { kind: "result", result };
}

const client = new Client(clientInfo, {
  capabilities: clientCapabilities, versionNegotiation: { mode: "auto" },
});
await client.connect(new StreamableHTTPClientTransport(url));
const questions = [];
const session = createTaskSessionFromClient(client, {
  endpointId: base,
  rawDispatch,
  v2RequestFraming: { protocolVersion, clientInfo, clientCapabilities },
  onInputRequest: async ({ kind, params }, { delivery, taskId }) => {
    questions.push({ kind, message: params.message, delivery, taskId });
    return { action: "accept", content: { colour: "red" } };
  },
});

async function settled(execution) {
  const statuses = [];
  const { outcome } = await execution.settle({
    onEvent: ({ type, task }) => type === "task" && statuses.push(task.status),
  });
  const { status, result, error } = outcome;
  return {
    kind: execution.kind, task: execution.handle?.taskId, statuses, status,
    error: error?.message, text: result?.content[0].text, isError: result?.isError,
    output: result?.structuredContent,
  };
}

if (reference) {
  const execution = await session.resumeTask(JSON.parse(reference));
  report("resumed", { ...await settled(execution), questions });
} else {
  report("short", await settled(await session.callTool("pacing", { times: 2 })));
  report("long", await settled(await session.callTool("pacing", { times: 30 })));
  report("asked", { ...await settled(await session.callTool("asking", said)), questions });
  report("failed", await settled(await session.callTool("breaking", said)));
  report("failed late", await settled(await session.callTool("stalling_then_failing", said)));
  const cancelled = await session.callTool("pacing", { times: 600 });
  await cancelled.cancel();
  report("cancelled", await settled(cancelled));
  const left = await session.callTool("asking", said);
  await left.handoff((kept) => report("left", { reference: kept }));
}
await session.close();
await client.close();
process.exit(0);
