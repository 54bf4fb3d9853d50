// The AI SDK with its providers. Prints one JSON line a finding.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";

globalThis.AI_SDK_LOG_WARNINGS = false;
const [base] = process.argv.slice(2);
const baseURL = `${base}/v1`;
const openai = createOpenAI({ baseURL, apiKey: "none" });
const providers = {
  "openai responses": openai.responses,
  "openai chat": openai.chat,
  compatible: createOpenAICompatible({ name: "ours", baseURL, apiKey: "none", includeUsage: true }),
  anthropic: createAnthropic({ baseURL, apiKey: "none" }),
};
const weather = tool({
  description: "the weather",
  inputSchema: jsonSchema({
    type: "object", properties: { city: { type: "string" } }, required: ["city"],
  }),
  execute: async ({ city }) => `sunny in ${city}`,
});

for (const [name, model] of Object.entries(providers)) {
  const streamed = streamText({ model: model("counting"), prompt: "30 numbers" });
  const text = await streamed.text;
  const finish = await streamed.finishReason;
  const usage = await streamed.totalUsage;
  const called = await generateText({
    model: model("fluent"), prompt: "Paris", tools: { weather }, stopWhen: stepCountIs(3),
  });
  const results = called.steps.flatMap((step) => step.toolResults.map((each) => each.output));
  console.log(JSON.stringify({
    name, text, finish, results, answered: called.text.length > 0, steps: called.steps.length,
    usage: usage.outputTokens !== undefined,
  }));
}
// A failure before the first output is not asked for again.
const failures = [];
const failed = streamText({
  model: openai.responses("stalling_then_failing"), prompt: `once ${process.pid}`,
  onError: ({ error }) => failures.push(String(error)),
});
await failed.consumeStream();
console.log(JSON.stringify({ name: "early failure", failures: failures.length }));
