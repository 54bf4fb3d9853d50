// Anthropic's client for Node: raw and helper. Prints one JSON line a finding.
import Anthropic from "@anthropic-ai/sdk";

const [baseURL] = process.argv.slice(2);
const client = new Anthropic({ baseURL, apiKey: "none" });
const say = (found) => console.log(JSON.stringify(found));
const asked = { model: "counting", max_tokens: 100, messages: [{ role: "user", content: "30 numbers" }] };

let text = "";
let end = null;
for await (const event of await client.messages.create({ ...asked, stream: true })) {
  if (event.type === "content_block_delta") text += event.delta.text;
  if (event.type === "message_delta") end = event.delta.stop_reason;
}
say({ what: "raw", text, end });
const message = await client.messages.stream(asked).finalMessage();
say({ what: "helper", text: message.content[0].text, end: message.stop_reason });
const whole = await client.messages.create({ ...asked, model: "stepping" });
say({ what: "whole", text: whole.content.at(-1).text, end: whole.stop_reason });
try {
  await client.messages.stream({ ...asked, model: "failing" }).finalMessage();
  say({ what: "late failure", failed: false });
} catch (error) {
  say({ what: "late failure", failed: true });
}
