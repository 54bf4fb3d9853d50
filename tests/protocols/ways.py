"""A protocol's client, as bare as can be: one class for each protocol."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import requests

from tests.e2e.server import Server
from tests.protocols import test_a2a, test_agui, test_mcp, test_ui
from tests.protocols.conftest import unique

#: Ids of frames, and what they say.
Frames = list[tuple[str, Any]]


class Way(ABC):
    """Asks, reads, and comes back."""

    #: Sent with the question.
    headers: Mapping[str, str] = {}
    #: Frames that it reads before its stream is cut.
    cut_after = 12
    #: Whether it is shown a task's questions.
    shows_questions = True
    #: Whether its clients come back by themselves when a stream just ends.
    comes_back = False
    #: Whether its stream is closed after `STREAMING_ROTATE_S`.
    rotates = False

    #: The job's id, once it has asked.
    job = ""

    def begin(self, server: Server, text: str, model: str) -> requests.Response:
        """Ask, and watch."""
        response = self.ask(server, text, model)
        response.raise_for_status()
        self.job = self.job or response.headers["X-Job-Id"]
        return response

    @abstractmethod
    def ask(self, server: Server, text: str, model: str) -> requests.Response:
        """The request of `begin`."""

    @abstractmethod
    def again(self, server: Server, seen: Frames) -> requests.Response:
        """Come back."""

    @abstractmethod
    def text(self, seen: Frames) -> str:
        """The answer: that of the last attempt."""

    def end(self, seen: Frames) -> str:
        """How the stream has ended.

        completed, failed, cancelled; interrupted (the server says that the job goes on), restarted
        (that the answer begins anew); cut where nothing is said.
        """
        return self.end_by(seen[-1][1], seen) if seen else "cut"

    @abstractmethod
    def end_by(self, last: Any, seen: Frames) -> str:
        """`end`, by the last frame."""

    def come_back(self, server: Server, seen: Frames) -> None:
        """Read on until the answer has ended, however often the stream is closed."""
        for _ in range(20):
            with self.again(server, seen) as response:
                seen += frames_of(response, last_id=last_id(seen))
            ended = self.end(seen)
            if ended == "restarted":
                seen.clear()
            elif ended not in ("cut", "interrupted"):
                return
        raise AssertionError(f"it never ends: {seen[-1:]}")


class Chat(Way):
    shows_questions = False

    def ask(self, server: Server, text: str, model: str) -> requests.Response:
        said = [{"role": "user", "content": text}]
        return _post(
            server, "/v1/chat/completions", self.headers, model=model, messages=said, stream=True
        )

    def again(self, server: Server, seen: Frames) -> requests.Response:
        position = (seen[-1][1].get("error") or seen[-1][1])["x_position"] if seen else 0
        url = f"{server.url}/v1/chat/completions/chatcmpl-{self.job}"
        return _get(f"{url}?stream=true&starting_after={position}")

    def text(self, seen: Frames) -> str:
        deltas = [c["delta"] for _, frame in seen for c in frame.get("choices", ())]
        return "".join(delta.get("content", "") for delta in deltas)

    def end_by(self, last: Any, seen: Frames) -> str:
        if "error" in last:
            return _told(last["error"]["code"])
        return "completed" if last["choices"][0]["finish_reason"] else "cut"


class Messages(Way):
    shows_questions = False

    def ask(self, server: Server, text: str, model: str) -> requests.Response:
        said = [{"role": "user", "content": text}]
        return _post(
            server,
            "/v1/messages",
            self.headers,
            model=model,
            messages=said,
            max_tokens=999,
            stream=True,
        )

    def again(self, server: Server, seen: Frames) -> requests.Response:
        headers = {"Accept": "text/event-stream"}
        if seen:
            headers["Last-Event-ID"] = seen[-1][0]
        return _get(f"{server.url}/v1/messages/msg_{self.job}", headers)

    def text(self, seen: Frames) -> str:
        deltas = [f["delta"] for _, f in seen if f["type"] == "content_block_delta"]
        return "".join(delta["text"] for delta in deltas)

    def end_by(self, last: Any, seen: Frames) -> str:
        if last["type"] == "error":
            return _told(last["error"]["code"])
        return "completed" if last["type"] == "message_stop" else "cut"


class Responses(Way):
    shows_questions = False

    def ask(self, server: Server, text: str, model: str) -> requests.Response:
        return _post(
            server,
            "/v1/responses",
            self.headers,
            model=model,
            input=text,
            stream=True,
            background=True,
        )

    def again(self, server: Server, seen: Frames) -> requests.Response:
        url = f"{server.url}/v1/responses/resp_{self.job}?stream=true"
        return _get(f"{url}&starting_after={seen[-1][1]['sequence_number']}" if seen else url)

    def text(self, seen: Frames) -> str:
        items: dict[int, str] = {}
        for _, frame in seen:
            if frame["type"] == "response.output_text.delta":
                place = frame["output_index"]
                items[place] = items.get(place, "") + frame["delta"]
        return items[max(items)]

    def end_by(self, last: Any, seen: Frames) -> str:
        if last["type"] == "error":
            return _told(last["error"]["code"].removesuffix(".invalid"))
        if last["type"] in ("response.completed", "response.failed", "response.incomplete"):
            return str(last["response"]["status"])
        return "cut"


class Ui(Way):
    def ask(self, server: Server, text: str, model: str) -> requests.Response:
        self.chat = unique("chat")
        return test_ui.ask(server, text, model, self.chat)

    def again(self, server: Server, seen: Frames) -> requests.Response:
        seen.clear()  # it is told all anew
        running = _get(f"{server.url}/v1/ui/chat/{self.chat}/stream")
        if running.status_code == 204:  # it has ended: a page has the stored message
            text = _get(f"{server.url}/v1/jobs/{self.job}").json()["text"]
            stored = {"type": "text-delta", "delta": text}
            seen += [("", {"type": "start"}), ("", stored), ("", {"type": "finish"})]
        return running

    def text(self, seen: Frames) -> str:
        frames = [frame for _, frame in seen]
        last = max(n for n, frame in enumerate(frames) if frame["type"] == "start")
        return test_ui.text_of(frames[last:])

    def end_by(self, last: Any, seen: Frames) -> str:
        if "goes on" in last.get("errorText", ""):
            return "interrupted"
        return {"finish": "completed", "error": "failed", "abort": "cancelled"}.get(
            last["type"], "cut"
        )


class Agui(Way):
    def ask(self, server: Server, text: str, model: str) -> requests.Response:
        self.run, self.asked = unique("run"), (text, model)
        return test_agui.run(server, text, model, self.run, self.headers)

    def again(self, server: Server, seen: Frames) -> requests.Response:
        last = next((id for id, _ in reversed(seen) if id), "0")
        return test_agui.run(server, *self.asked, self.run, {"Last-Event-ID": last})

    def text(self, seen: Frames) -> str:
        frames = [frame for _, frame in seen]
        last = max(n for n, frame in enumerate(frames) if frame["type"] == "TEXT_MESSAGE_START")
        return test_agui.text_of(frames[last:])

    def end_by(self, last: Any, seen: Frames) -> str:
        if last["type"] == "RUN_ERROR":
            return _told(last["code"])
        return "completed" if last["type"] == "RUN_FINISHED" else "cut"


class Mcp(Way):
    cut_after = 0  # a call says nothing of its answer before its end
    comes_back = True

    def ask(self, server: Server, text: str, model: str) -> requests.Response:
        self.session = test_mcp.session_of(server, elicitation={})
        said = {"messages": [{"role": "user", "content": text}]}
        params = {**test_mcp.call(model, **said), "_meta": {"progressToken": 1}}
        return test_mcp.post(server, "tools/call", params, self.session)

    def again(self, server: Server, seen: Frames) -> requests.Response:
        last = seen[-1][0] if seen else f"{self.job}:1"  # the event without data, which comes first
        return _get(f"{server.url}/mcp", {**self.session, "Last-Event-ID": last})

    def text(self, seen: Frames) -> str:
        return str(seen[-1][1]["result"]["content"][0]["text"])

    def end_by(self, last: Any, seen: Frames) -> str:
        if "result" not in last:
            return "cut"
        if not last["result"]["isError"]:
            return "completed"
        return "cancelled" if "cancelled" in str(last["result"]["content"]) else "failed"


class A2a(Way):
    def ask(self, server: Server, text: str, model: str) -> requests.Response:
        return test_a2a.rpc(server, "SendStreamingMessage", test_a2a.said(text, model))

    def again(self, server: Server, seen: Frames) -> requests.Response:
        return test_a2a.rpc(server, "SubscribeToTask", {"id": self.job})

    def text(self, seen: Frames) -> str:
        return test_a2a.text_of([f["result"] for _, f in seen if "result" in f])

    def end_by(self, last: Any, seen: Frames) -> str:
        if "error" in last:
            return "interrupted"
        known = last["result"].get("task") or last["result"].get("statusUpdate")
        state = known["status"]["state"] if known else ""
        ends = {"COMPLETED": "completed", "FAILED": "failed", "CANCELED": "cancelled"}
        return ends.get(state.removeprefix("TASK_STATE_"), "cut")


class Durable(Way):
    cut_after = 4
    comes_back = rotates = True

    def ask(self, server: Server, text: str, model: str) -> requests.Response:
        said = {"messages": [{"role": "user", "content": text}]}
        made = _post(server, "/v1/jobs", self.headers, task=model, input=said)
        self.job = made.json()["id"]
        return self._read(server, "-1")

    def again(self, server: Server, seen: Frames) -> requests.Response:
        while seen and isinstance(seen[-1][1], list):
            seen.pop()  # its offset has not come
        return self._read(server, seen[-1][1]["streamNextOffset"] if seen else "-1")

    def _read(self, server: Server, offset: str) -> requests.Response:
        return _get(f"{server.url}/v1/jobs/{self.job}/stream?live=sse&offset={offset}")

    def text(self, seen: Frames) -> str:
        text = ""
        for event in self._events(seen):
            if event["type"] == "text.delta":
                text += event["data"]["text"]
            elif event["type"] == "text.reset":
                text = ""
        return text

    def _events(self, seen: Frames) -> list[Any]:
        return [each for _, frame in seen if isinstance(frame, list) for each in frame]

    def end_by(self, last: Any, seen: Frames) -> str:
        if "streamClosed" not in last:  # control, or a list of events
            return "cut"
        return str(self._events(seen)[-1]["type"]).removeprefix("job.")


WAYS: dict[str, type[Way]] = {
    "chat": Chat, "messages": Messages, "responses": Responses, "ui": Ui, "agui": Agui,
    "mcp": Mcp, "a2a": A2a, "durable": Durable,
}  # fmt: skip


def frames_of(response: requests.Response, *, last_id: str = "") -> Iterator[tuple[str, Any]]:
    """The frames that have come whole; each with the last id, over reconnects as well."""
    id = last_id
    for line in response.iter_lines(chunk_size=None):
        if line.startswith(b"id: "):
            id = line[4:].decode()
        if line.startswith((b"data: {", b"data: [{")):
            yield id, json.loads(line[6:])


def last_id(seen: Frames) -> str:
    """Where a client is that has seen these: what it sends as `Last-Event-ID`."""
    return seen[-1][0] if seen else ""


def _asked(model: str, text: str) -> dict[str, Any]:
    said = [{"role": "user", "content": text}]
    return {"model": model, "messages": said, "stream": True}


def _told(code: str) -> str:
    """What the code of an error means for the job."""
    known = {"draining": "interrupted", "restarted": "restarted", "cancelled": "cancelled"}
    return known.get(code, "failed")


def _post(server: Server, path: str, headers: Mapping[str, str], **body: Any) -> requests.Response:
    return requests.post(f"{server.url}{path}", json=body, headers=headers, stream=True, timeout=30)


def _get(url: str, headers: Any = None) -> requests.Response:
    return requests.get(url, headers=headers, stream=True, timeout=30)
