// OpenAI's client for Node: raw, helpers, Responses. Prints one JSON line a finding.
import OpenAI from "openai";

const [baseURL] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${baseURL}/v1`, apiKey: "none" });
const say = (found) => console.log(JSON.stringify(found));
const messages = [{ role: "user", content: "30 numbers" }];

let text = "";
let last;
for await (const chunk of await client.chat.completions.create({
  model: "counting", messages, stream: true, stream_options: { include_usage: true },
})) {
  text += chunk.choices[0]?.delta?.content ?? "";
  last = chunk;
}
say({ what: "chat raw", text, usage: last.usage !== undefined });

const helped = client.chat.completions.stream({ model: "counting", messages });
say({ what: "chat helper", text: (await helped.finalChatCompletion()).choices[0].message.content });

const response = client.responses.stream({ model: "counting", input: "30 numbers" });
say({ what: "responses helper", text: (await response.finalResponse()).output_text });

// In the background, left in the middle, and resumed behind its last event.
let id;
let after = -1;
let seen = "";
for await (const event of await client.responses.create({
  model: "counting", input: "100 numbers", background: true, stream: true,
})) {
  after = event.sequence_number;
  id ??= event.response?.id;
  if (event.type === "response.output_text.delta") seen += event.delta;
  if (seen.length > 40) break;
}
for await (const event of await client.responses.retrieve(id, { stream: true, starting_after: after })) {
  if (event.sequence_number <= after) throw new Error("an event came twice");
  after = event.sequence_number;
  if (event.type === "response.output_text.delta") seen += event.delta;
}
say({ what: "responses resumed", text: seen });
const again = client.responses.stream({ response_id: id, starting_after: 0 });
say({ what: "responses resumed by the helper", text: (await again.finalResponse()).output_text });

try {
  for await (const _ of await client.chat.completions.create({
    model: "failing", messages: [{ role: "user", content: `x ${Date.now()}` }], stream: true,
  }));
  say({ what: "late failure", code: null });
} catch (error) {
  say({ what: "late failure", code: error.code });
}
const steps = client.responses.stream({ model: "stepping", input: "go" });
say({ what: "steps", text: (await steps.finalResponse()).output_text });
