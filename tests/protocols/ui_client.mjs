// The AI SDK's chat transports. Prints one JSON line a finding.
import { DefaultChatTransport, readUIMessageStream } from "ai";
import { WebSocketChatTransport } from "ai7";
import WebSocket from "ws";

globalThis.AI_SDK_LOG_WARNINGS = false;
const [base] = process.argv.slice(2);
const api = `${base}/v1/ui/chat`;
const chatId = (name) => `${name}-${process.pid}`;
const said = (text) => [{ id: "u1", role: "user", parts: [{ type: "text", text }] }];
const textOf = (message) =>
  message.parts.filter((part) => part.type === "text").map((part) => part.text).join("");
const report = (what, found) => console.log(JSON.stringify({ what, ...found }));

async function read(stream) {
  let last;
  const errors = [];
  for await (const message of readUIMessageStream({
    stream, onError: (error) => errors.push(String(error)),
  })) last = message;
  return { last, errors };
}
function send(transport, name, text, model) {
  return transport.sendMessages({
    trigger: "submit-message", chatId: chatId(name), messageId: undefined,
    messages: said(text), abortSignal: undefined, body: { model },
  });
}

for (const [kind, transport] of [
  ["http", new DefaultChatTransport({ api })],
  ["websocket", new WebSocketChatTransport({ url: api, webSocket: WebSocket })],
]) {
  let { last } = await read(await send(transport, `${kind}-whole`, "30 numbers", "counting"));
  report(`${kind} whole`, { text: textOf(last), states: last.parts.map((p) => p.state ?? p.type) });

  ({ last } = await read(await send(transport, `${kind}-steps`, "x", "stepping")));
  const tool = last.parts.find((part) => part.type === "dynamic-tool");
  report(`${kind} steps`, {
    text: textOf(last), tool: [tool.toolName, tool.state, tool.output],
    steps: last.parts.filter((p) => p.type === "data-step").map((p) => [p.data.id, p.data.status]),
  });

  const cut = await send(transport, `${kind}-resumed`, "100 numbers", "counting");
  const reader = cut.getReader();
  for (let i = 0; i < 10; i += 1) await reader.read();
  if (kind === "http") await reader.cancel();
  const again = await transport.reconnectToStream({ chatId: chatId(`${kind}-resumed`) });
  ({ last } = await read(again));
  const after = await transport.reconnectToStream({ chatId: chatId(`${kind}-resumed`) });
  report(`${kind} resumed`, { text: textOf(last), after });

  const { errors } = await read(await send(transport, `${kind}-broken`, "x", "breaking"));
  report(`${kind} broken`, { errors });
  if (kind === "websocket") transport.close();
}

// Stopped by somebody else, while it is watched.
const transport = new DefaultChatTransport({ api });
const stream = await send(transport, "stopped", "1000 numbers", "counting");
const kinds = [];
for await (const chunk of stream) {
  kinds.push(chunk.type);
  if (kinds.length === 8) await fetch(`${api}/${chatId("stopped")}/stop`, { method: "POST" });
}
report("stopped", { last: kinds.at(-1) });
process.exit(0);
