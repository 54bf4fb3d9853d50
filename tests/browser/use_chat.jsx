// useChat as a page has it, for the tests to call: a chat by its id, resumed at once with ?resume.
import { useChat } from "@ai-sdk/react";
import { DefaultChatTransport } from "ai";
import { createRoot } from "react-dom/client";

const transport = new DefaultChatTransport({ api: "/v1/ui/chat" });
const query = new URLSearchParams(location.search);

function Chat() {
  window.chat = useChat({ id: query.get("id"), resume: query.has("resume"), transport });
  const { messages, status } = window.chat;
  const answers = messages.filter(({ role }) => role === "assistant");
  const texts = answers.map(({ parts }) => parts.map(({ type, text }) => (type === "text" ? text : "")).join(""));
  return <><p id="status">{status}</p><pre id="answer">{texts.join("\n---\n")}</pre></>;
}

createRoot(document.getElementById("chat")).render(<Chat />);
