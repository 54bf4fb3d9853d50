// A2A's own client, over both bindings. Prints one JSON line a finding.
import { ClientFactory, ClientFactoryOptions, JsonRpcTransportFactory, RestTransportFactory } from "@a2a-js/sdk/client";

const [base] = process.argv.slice(2);
const report = (what, found) => console.log(JSON.stringify({ what, ...found }));
let number = 0;
const message = (skill, parts, more = {}) => ({
  message: {
    messageId: `m${number += 1}`, role: "ROLE_USER", parts, contextId: "", taskId: "",
    extensions: [], referenceTaskIds: [], metadata: { skill }, ...more,
  },
  configuration: undefined, metadata: undefined, tenant: "",
});
const text = (value) => ({
  content: { $case: "text", value }, filename: "", mediaType: "text/plain", metadata: undefined,
});
// Messages of the protocol as the SDK has them: {$case, value} stands for one of several members.
const partsOf = (artifacts) => artifacts.flatMap((each) => each.parts);
const textOf = (parts) => parts.filter((part) => part.content?.$case === "text")
  .map((part) => part.content.value).join("");

for (const [name, Factory] of [["rpc", JsonRpcTransportFactory], ["rest", RestTransportFactory]]) {
  const factory = new ClientFactory(ClientFactoryOptions.createFrom(ClientFactoryOptions.default, {
    transports: [new Factory()],
    preferredTransports: [name === "rpc" ? "JSONRPC" : "HTTP+JSON"],
  }));
  const client = await factory.createFromUrl(base);
  let said = "";
  for await (const event of client.sendMessageStream(message("counting", [text("30 numbers")]))) {
    const { $case, value } = event.payload ?? event;
    if ($case === "artifactUpdate") said += textOf(value.artifact.parts);
  }
  report(`${name} whole`, { text: said });
  const done = await client.sendMessage(message("stepping", [text("x")]));
  const task = done.payload?.value ?? done;
  report(`${name} sent`, { text: textOf(partsOf(task.artifacts)), state: task.status.state });
}
process.exit(0);
