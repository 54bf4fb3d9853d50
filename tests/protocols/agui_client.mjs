// AG-UI's own client. Prints one JSON line a finding.
import { HttpAgent } from "@ag-ui/client";

const [base] = process.argv.slice(2);
const report = (what, found) => console.log(JSON.stringify({ what, ...found }));
const agentOf = (model, text) => new HttpAgent({
  url: `${base}/v1/agui/${model}`,
  initialMessages: [{ id: "u1", role: "user", content: text }],
  initialState: { page: "shop" },
});
const textOf = (agent) => agent.messages.filter((each) => each.role === "assistant")
  .map((each) => each.content ?? "").join("");

async function run(agent, parameters = {}) {
  const kinds = [];
  let end = null;
  const failed = [];
  try {
    await agent.runAgent(parameters, {
      onEvent: ({ event }) => { kinds.push(event.type); if (event.type.startsWith("RUN_")) end = event; },
      onRunFailed: ({ error }) => { failed.push(String(error)); },
    });
  } catch (error) { failed.push(String(error)); }
  return { kinds, end, failed };
}

let agent = agentOf("counting", "30 numbers");
let done = await run(agent);
report("whole", { text: textOf(agent), end: done.end.outcome.type, state: agent.state });

agent = agentOf("stepping", "x");
done = await run(agent);
report("steps", {
  text: textOf(agent), kinds: done.kinds,
  tool: agent.messages.find((each) => each.role === "tool")?.content,
  call: agent.messages.flatMap((each) => each.toolCalls ?? []).map((each) => each.function.name),
});

agent = agentOf("breaking", "x");
done = await run(agent);
report("broken", { code: done.end.code, message: done.end.message, state: agent.state });

agent = agentOf("asking", "x");
done = await run(agent);
const [interrupt] = done.end.outcome.interrupts;
await new Promise((resolve) => setTimeout(resolve, 3500)); // longer than the grace
done = await run(agent, {
  resume: [{ interruptId: interrupt.id, status: "resolved", payload: { colour: "red" } }],
});
report("asked", { message: interrupt.message, text: textOf(agent), end: done.end.outcome.type });
process.exit(0);
