"""Every protocol of agents, in every trouble: one table."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.e2e.server import Server
from tests.protocols import test_a2a, test_agui, test_mcp, test_ui
from tests.protocols.conftest import NewServer, ends_as, unique

NUMBERS = "".join(f"{number} " for number in range(100))

Frames = list[tuple[str, Any]]


class Way(ABC):
    """A protocol's client, as bare as can be."""

    #: Frames that it reads before its stream is cut.
    cut_after = 12

    @abstractmethod
    def begin(self, server: Server, text: str, model: str) -> requests.Response:
        """Ask, and watch."""

    @abstractmethod
    def again(self, server: Server, seen: Frames) -> requests.Response:
        """Come back."""

    @abstractmethod
    def text(self, seen: Frames) -> str:
        """The answer."""

    @abstractmethod
    def end(self, frame: Any) -> str:
        """How a stream has ended whose last frame this is: completed, failed, cancelled, error."""

    def job(self, response: requests.Response) -> str:
        return response.headers["X-Job-Id"]


class Ui(Way):
    def begin(self, server: Server, text: str, model: str) -> requests.Response:
        self.chat = unique("chat")
        return test_ui.ask(server, text, model, self.chat)

    def again(self, server: Server, seen: Frames) -> requests.Response:
        seen.clear()  # it is told all anew
        url = f"{server.url}/v1/ui/chat/{self.chat}/stream"
        return requests.get(url, stream=True, timeout=20)

    def text(self, seen: Frames) -> str:
        return test_ui.text_of([frame for _, frame in seen])

    def end(self, frame: Any) -> str:
        return {"finish": "completed", "error": "failed", "abort": "cancelled"}[frame["type"]]


class Agui(Way):
    def begin(self, server: Server, text: str, model: str) -> requests.Response:
        self.run, self.asked = unique("run"), (text, model)
        return test_agui.run(server, text, model, self.run)

    def again(self, server: Server, seen: Frames) -> requests.Response:
        return test_agui.run(server, *self.asked, self.run, {"Last-Event-ID": seen[-1][0]})

    def text(self, seen: Frames) -> str:
        return test_agui.text_of([frame for _, frame in seen])

    def end(self, frame: Any) -> str:
        if frame["type"] == "RUN_FINISHED":
            return "completed"
        assert frame["type"] == "RUN_ERROR"
        return "cancelled" if frame["code"] == "cancelled" else "failed"


class Mcp(Way):
    cut_after = 0  # a call says nothing of its answer before its end

    def begin(self, server: Server, text: str, model: str) -> requests.Response:
        self.session = test_mcp.session_of(server, elicitation={})
        said = {"messages": [{"role": "user", "content": text}]}
        params = {**test_mcp.call(model, **said), "_meta": {"progressToken": 1}}
        return test_mcp.post(server, "tools/call", params, self.session)

    def again(self, server: Server, seen: Frames) -> requests.Response:
        last = seen[-1][0] if seen else self.first
        headers = {**self.session, "Last-Event-ID": last}
        return requests.get(f"{server.url}/mcp", headers=headers, stream=True, timeout=20)

    def text(self, seen: Frames) -> str:
        return str(seen[-1][1]["result"]["content"][0]["text"])

    def end(self, frame: Any) -> str:
        if not frame["result"]["isError"]:
            return "completed"
        return "cancelled" if "cancelled" in str(frame["result"]["content"]) else "failed"

    def job(self, response: requests.Response) -> str:
        # The event without data, which comes first.
        self.first = f"{response.headers['X-Job-Id']}:1"
        return super().job(response)


class A2a(Way):
    def begin(self, server: Server, text: str, model: str) -> requests.Response:
        return test_a2a.rpc(server, "SendStreamingMessage", test_a2a.said(text, model))

    def again(self, server: Server, seen: Frames) -> requests.Response:
        task = seen[0][1]["result"]["task"]["id"]
        return test_a2a.rpc(server, "SubscribeToTask", {"id": task})

    def text(self, seen: Frames) -> str:
        return test_a2a.text_of([frame["result"] for _, frame in seen])

    def end(self, frame: Any) -> str:
        if "error" in frame:
            return "failed"
        state = test_a2a.state_of(frame["result"])
        return {"CANCELED": "cancelled"}.get(state[11:], state[11:].lower())


class Durable(Way):
    cut_after = 4

    def begin(self, server: Server, text: str, model: str) -> requests.Response:
        said = {"messages": [{"role": "user", "content": text}]}
        made = requests.post(
            f"{server.url}/v1/jobs", json={"task": model, "input": said}, timeout=5
        )
        self.id = made.json()["id"]
        return self._read(server, "-1")

    def again(self, server: Server, seen: Frames) -> requests.Response:
        return self._read(server, seen[-1][1]["streamNextOffset"] if seen else "-1")

    def _read(self, server: Server, offset: str) -> requests.Response:
        url = f"{server.url}/v1/jobs/{self.id}/stream?live=sse&offset={offset}"
        return requests.get(url, stream=True, timeout=20)

    def text(self, seen: Frames) -> str:
        deltas = [e["data"] for e in self._events(seen) if e["type"] == "text.delta"]
        return "".join(delta["text"] for delta in deltas)

    def _events(self, seen: Frames) -> list[Any]:
        return [each for _, frame in seen if isinstance(frame, list) for each in frame]

    def end(self, frame: Any) -> str:
        assert frame["streamClosed"]
        return ""

    def job(self, response: requests.Response) -> str:
        return str(self.id)


WAYS = {"ui": Ui, "agui": Agui, "mcp": Mcp, "a2a": A2a, "durable": Durable}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    made: Way = WAYS[request.param]()
    return made


def frames_of(response: requests.Response) -> Iterator[tuple[str, Any]]:
    id = ""
    for line in response.iter_lines():
        if line.startswith(b"id: "):
            id = line[4:].decode()
        if line.startswith((b"data: {", b"data: [{")):
            yield id, json.loads(line[6:])


def test_a_cut_stream_is_whole_when_its_reader_comes_back(server: Server, way: Way) -> None:
    with way.begin(server, "100 numbers", "counting") as response:
        way.job(response)
        frames = frames_of(response)
        seen = [next(frames) for _ in range(way.cut_after)]
    if isinstance(way, Durable) and isinstance(seen[-1][1], list):
        seen.pop()  # its offset has not come

    seen += frames_of(way.again(server, seen))

    assert way.text(seen) == NUMBERS
    assert way.end(seen[-1][1]) in ("completed", "")


def test_a_cancel_of_another_client_is_told(server: Server, way: Way) -> None:
    with way.begin(server, "2000 numbers", "counting") as response:
        job = way.job(response)
        requests.post(f"{server.url}/v1/jobs/{job}/cancel", timeout=5)
        seen = list(frames_of(response))

    assert way.end(seen[-1][1]) in ("cancelled", "")
    ends_as(server, job, "cancelled")


def test_a_task_that_fails_is_told(server: Server, way: Way) -> None:
    seen = list(frames_of(way.begin(server, "x", "breaking")))

    assert way.end(seen[-1][1]) in ("failed", "")
    assert "it broke in the middle" in json.dumps(seen)


def test_a_question_is_shown_and_anybody_answers_it(server: Server, way: Way) -> None:
    with way.begin(server, "x", "asking") as response:
        job = way.job(response)
        for _, frame in frames_of(response):
            if "Which colour?" in json.dumps(frame):
                break
        answer = {"data": {"colour": "red"}}
        taken = requests.post(f"{server.url}/v1/jobs/{job}/input", json=answer, timeout=5)
        assert taken.status_code == 200

    assert ends_as(server, job, "completed")["text"] == "the colour is red"


def test_a_drain_is_told_and_the_job_goes_on(new_server: NewServer, way: Way) -> None:
    server = new_server(STREAMING_DRAIN_S=4).start()
    with way.begin(server, "300 numbers", "counting") as response:
        job = way.job(response)
        frames = frames_of(response)
        if way.cut_after:
            next(frames)
        server.process.terminate()
        seen = list(frames)
    server.wait_until_ended()
    if isinstance(way, Ui | Agui | A2a):
        assert way.end(seen[-1][1]) == "failed"
        assert job in json.dumps(seen[-1][1])
    else:  # their clients come back by themselves
        assert '"result"' not in json.dumps(seen)
        assert "streamClosed" not in json.dumps(seen)
    server.start()

    text = ends_as(server, job, "completed", timeout_s=20)["text"]
    assert text == "".join(f"{number} " for number in range(300))
