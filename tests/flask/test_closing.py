"""Cancelled in the middle of somebody's SDK: the model's server sees the stream end at once."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
import requests
from flask import Flask

from streaming import JobContext, Streaming
from streaming.testing import Jobs, running

Json = Any
#: Seconds from a cancel to the end of the upstream exchange, at most.
PROMPT_S = 0.5
#: How often a cancel is tried: a busy machine may hold one up, and not all of them.
TRIES = 5
#: Seconds after which a test has failed.
LIMIT_S = 20.0

CHUNK = {
    "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
    "choices": [{"index": 0, "delta": {"content": "hello"}, "finish_reason": None}],
}  # fmt: skip
START = {
    "type": "message_start",
    "message": {
        "id": "m", "type": "message", "role": "assistant", "model": "m", "content": [],
        "stop_reason": None, "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    },
}  # fmt: skip


class SilentModel:
    """A model's server that says one word and then nothing, and sees when its client goes."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.gone = threading.Event()
        self.gone_at = 0.0
        self.exchanges = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                outer.exchanges += 1
                outer.asked.set()
                if self.path == "/mute":
                    outer.wait_for_end(self.connection)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                event = START if "messages" in self.path else CHUNK
                kind = f"event: {event['type']}\n" if "type" in event else ""
                data = f"{kind}data: {json.dumps(event)}\n\n".encode()
                self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
                outer.wait_for_end(self.connection)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def wait_for_end(self, connection: socket.socket) -> None:
        connection.settimeout(LIMIT_S)
        try:
            connection.recv(1)
        except OSError:
            return
        if not self.gone.is_set():
            self.gone_at = time.monotonic()
        self.gone.set()

    def __enter__(self) -> SilentModel:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def model() -> Iterator[SilentModel]:
    with SilentModel() as made:
        yield made


def openai_chunks(url: str) -> Any:
    import openai

    client = openai.OpenAI(base_url=f"{url}/chat", api_key="none")
    return client.chat.completions.create(model="m", messages=[], stream=True)


def anthropic_events(url: str) -> Any:
    import anthropic

    client = anthropic.Anthropic(base_url=f"{url}", api_key="none")
    return client.messages.create(model="m", max_tokens=9, messages=[], stream=True)


def requests_lines(url: str) -> Any:
    return requests.post(url, data="{}", stream=True, timeout=LIMIT_S).iter_lines(1)


def requests_response(url: str) -> Any:
    return requests.post(url, data="{}", stream=True, timeout=LIMIT_S)


def httpx_lines(url: str) -> Any:
    client = httpx.Client(timeout=LIMIT_S)
    request = client.build_request("POST", url, content="{}")
    return client.send(request, stream=True).iter_lines()


STREAMS = [openai_chunks, anthropic_events, requests_lines, httpx_lines]


def app_with(work: Callable[[JobContext], Iterator[str]]) -> Flask:
    app = Flask("closing")
    Streaming(app).task("read")(lambda ctx, input: work(ctx))
    return app


def cancel_soon(app: Flask, model: SilentModel, within_s: float = PROMPT_S) -> None:
    """Cancel a job that waits for the model, and hold both to the time they have."""
    with running(app) as jobs:
        tries = (cancelled_in(jobs, model) for _ in range(TRIES))
        assert any(ended_s < within_s and gone_s < PROMPT_S for ended_s, gone_s in tries)


def cancelled_in(jobs: Jobs, model: SilentModel) -> tuple[float, float]:
    """Seconds from a cancel until the job has ended, and until the model sees its client go."""
    model.asked.clear()
    model.gone.clear()
    job = jobs.start("read")
    job.wait_for("text.delta")
    assert model.asked.wait(LIMIT_S)
    began = time.monotonic()
    job.cancel()
    ended_s = time.monotonic() - began
    assert model.gone.wait(LIMIT_S)
    assert job.status == "cancelled", job.error
    return ended_s, model.gone_at - began


@pytest.mark.parametrize("make", STREAMS)
def test_a_stream_that_is_handed_over_ends_with_the_job(
    make: Callable[[str], Any], model: SilentModel
) -> None:
    def work(ctx: JobContext) -> Iterator[str]:
        for piece in ctx.closing(make(model.url)):
            yield str(piece) or "-"

    cancel_soon(app_with(work), model)


@pytest.mark.parametrize("make", STREAMS)
def test_a_stream_that_is_simply_iterated_ends_with_the_job(
    make: Callable[[str], Any], model: SilentModel
) -> None:
    def work(ctx: JobContext) -> Iterator[str]:
        for piece in make(model.url):
            yield str(piece) or "-"

    cancel_soon(app_with(work), model)


def test_a_with_block_ends_with_the_job(model: SilentModel) -> None:
    def work(ctx: JobContext) -> Iterator[str]:
        with ctx.closing(requests_response(model.url)) as response:
            for line in response.iter_lines(1):
                yield line.decode() or "-"

    cancel_soon(app_with(work), model)


def test_a_request_without_an_answer_ends_with_the_job(model: SilentModel) -> None:
    import openai

    def work(ctx: JobContext) -> Iterator[str]:
        yield "asking"
        client = openai.OpenAI(base_url=model.url, api_key="none")
        client.post("/mute", body={}, cast_to=object)

    # The SDK sleeps before it tries again, and is cut off again.
    cancel_soon(app_with(work), model, within_s=6.0)


def test_a_stream_that_has_ended_is_closed_and_nothing_else_happens() -> None:
    class Stream:
        closed = 0

        def __iter__(self) -> Iterator[str]:
            return iter(["one ", "two"])

        def close(self) -> None:
            Stream.closed += 1

    def work(ctx: JobContext) -> Iterator[str]:
        yield from ctx.closing(Stream())

    with running(app_with(work)) as jobs:
        job = jobs.run("read")

    assert (job.text, job.status, Stream.closed) == ("one two", "completed", 1)


def test_errors_of_the_stream_are_the_tasks() -> None:
    class Broken:
        def __iter__(self) -> Iterator[str]:
            raise ConnectionError("the model has hung up")

    def work(ctx: JobContext) -> Iterator[str]:
        try:
            yield from ctx.closing(Broken())
        except ConnectionError:
            yield "caught"

    with running(app_with(work)) as jobs:
        assert jobs.run("read").text == "caught"
