// The AI SDK's useChat shows what a job of others writes: a page at ?job=JOB with an element "chat". It can stop it, too.
import { useChat } from "@ai-sdk/react";
import { DefaultChatTransport } from "ai";
import { createRoot } from "react-dom/client";

const api = "/v1/ui/chat";
const transport = new DefaultChatTransport({ api });

function Chat({ job }) {
  const { messages, status, error } = useChat({ id: job, resume: true, transport });
  const stop = () => fetch(`${api}/${job}/stop`, { method: "POST" });
  return (
    <>
      <header>status: <b>{status}</b> {status === "streaming" && <button onClick={stop}>Stop</button>}</header>
      {messages.map(({ id, parts }) => <article key={id}>{parts.map(show)}</article>)}
      {error && <p role="alert">{error.message}</p>}
    </>
  );
}

function show({ type, text, data }, index) {
  if (type === "data-step") return <small key={index}>{data.title}: {data.status}<br /></small>;
  return type === "text" && <p key={index}>{text}</p>;
}

const job = new URLSearchParams(location.search).get("job");
createRoot(document.getElementById("chat")).render(<Chat job={job} />);
