"""Clients of the service, each of a library that is not ours: HTTP, and a reader per transport.

A reader is a generator of envelopes that ends when the server ends the stream. Its keyword
arguments are the query of the request: `after`, `types`, `from`.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol, Self

import httpx
import requests
import websocket
from httpx_sse import EventSource, ServerSentEvent

from tests.e2e.waiting import PATIENCE_S, eventually

Json = Any
Envelope = dict[str, Any]

#: Seconds that a client waits for a byte before the test fails.
SILENCE_S = 30.0

#: Made once: to make it takes longer than a request, and there is nothing encrypted here.
_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

TERMINAL = ("job.completed", "job.failed", "job.cancelled")
ENDED = ("completed", "failed", "cancelled")


class Api:
    """Requests to one server, with one key or none."""

    def __init__(self, url: str, key: str | None = None) -> None:
        self.url = url
        self.headers = {} if key is None else {"Authorization": f"Bearer {key}"}

    def with_key(self, key: str) -> Api:
        return Api(self.url, key)

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        options["headers"] = {**self.headers, **(options.get("headers") or {})}
        options.setdefault("timeout", SILENCE_S)
        return requests.request(method, self.url + path, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return self.request("POST", path, **options)

    def delete(self, path: str, **options: Any) -> requests.Response:
        return self.request("DELETE", path, **options)

    def submit(self, task: str, input: Json = None, **fields: Json) -> str:
        """The id of a new job."""
        body = {"task": task, "input": {} if input is None else input, **fields}
        response = self.post("/v1/jobs", json=body)
        assert response.status_code == 202, response.text
        return response.json()["id"]

    def snapshot(self, job: str) -> Json:
        response = self.get(f"/v1/jobs/{job}")
        assert response.status_code == 200, response.text
        return response.json()

    def reach(self, job: str, *statuses: str, timeout_s: float = PATIENCE_S) -> Json:
        """The snapshot, once the job has one of these statuses."""

        def look() -> Json:
            shown = self.snapshot(job)
            return shown if shown["status"] in statuses else None

        return eventually(look, f"{job} is {' or '.join(statuses)}", timeout_s)

    def finish(self, job: str, timeout_s: float = PATIENCE_S) -> Json:
        """The snapshot of the job once it has ended."""
        return self.reach(job, *ENDED, timeout_s=timeout_s)

    def run(self, task: str, input: Json = None, **fields: Json) -> Json:
        """The snapshot of a new job once it has ended."""
        return self.finish(self.submit(task, input, **fields))

    def answer(self, job: str, data: Json, **fields: Json) -> requests.Response:
        return self.post(f"/v1/jobs/{job}/input", json={"data": data, **fields})

    def cancel(self, job: str, **options: Any) -> requests.Response:
        return self.post(f"/v1/jobs/{job}/cancel", **options)

    def log_of(self, job: str) -> list[Envelope]:
        """The events so far, page by page, and not what a job writes while they are read."""
        events: list[Envelope] = []
        page: Json = {"next": 0}
        last = self.snapshot(job)["seq"]
        while page["next"] < last:
            asked = {"wait": 0, "after": page["next"]}
            response = self.get(f"/v1/jobs/{job}/poll", params=asked)
            assert response.status_code == 200, response.text
            page = response.json()
            events += page["events"]
        return events


class Reader(Protocol):
    def __call__(
        self, api: Api, job: str, *, headers: Mapping[str, str] | None = None, **query: Any
    ) -> Iterator[Envelope]: ...


def read_sse(
    api: Api, job: str, *, headers: Mapping[str, str] | None = None, **query: Any
) -> Iterator[Envelope]:
    for frame in sse_frames(api, f"/v1/jobs/{job}/events", headers=headers, **query):
        if frame.data:
            yield json.loads(frame.data)


def read_ndjson(
    api: Api, job: str, *, headers: Mapping[str, str] | None = None, **query: Any
) -> Iterator[Envelope]:
    asked = {**api.headers, "Accept": "application/x-ndjson", **(headers or {})}
    options = {"params": query, "headers": asked, "stream": True, "timeout": SILENCE_S}
    with requests.get(f"{api.url}/v1/jobs/{job}/events", **options) as response:
        response.raise_for_status()
        for line in lines_of(response.iter_content(chunk_size=None)):
            if line:
                yield json.loads(line)


def lines_of(chunks: Iterable[bytes]) -> Iterator[str]:
    """The lines of a stream as they come, the empty ones too; only LF ends one."""
    rest: list[bytes] = []
    for chunk in chunks:
        *ended, last = chunk.split(b"\n")
        for line in ended:
            yield b"".join([*rest, line]).decode()
            rest = []
        rest.append(last)


def read_poll(
    api: Api, job: str, *, headers: Mapping[str, str] | None = None, **query: Any
) -> Iterator[Envelope]:
    page: Json = {"closed": False}
    while not page["closed"]:
        asked = {"wait": 5, **query}
        response = api.get(f"/v1/jobs/{job}/poll", params=asked, headers=headers)
        response.raise_for_status()
        page = response.json()
        yield from page["events"]
        query = {**query, "after": page["next"]}
        headers = None


def read_websocket(
    api: Api, job: str, *, headers: Mapping[str, str] | None = None, **query: Any
) -> Iterator[Envelope]:
    with Socket(api, f"/v1/jobs/{job}/ws", headers=headers, **query) as connection:
        while (message := connection.receive()) is not None:
            yield message


def read_shared_websocket(
    api: Api, job: str, *, headers: Mapping[str, str] | None = None, **query: Any
) -> Iterator[Envelope]:
    with Socket(api, "/v1/ws", headers=headers) as connection:
        if "types" in query:
            query["types"] = query["types"].split(",")
        ack = connection.ask("subscribe", job=job, **query)
        assert ack["type"] == "ack", ack
        caught_up = ack["job"]["seq"] == query.get("after")
        if ack["job"]["status"] in ENDED and caught_up:
            return
        while (message := connection.receive()) is not None:
            yield message
            if message["type"] in TERMINAL:
                return


def read_feed(
    api: Api, job: str, *, headers: Mapping[str, str] | None = None, **query: Any
) -> Iterator[Envelope]:
    if "after" in query:
        query["after"] = f"{job}:{query['after']}"
    for frame in sse_frames(api, "/v1/events", headers=headers, job=job, **query):
        if frame.data:
            yield json.loads(frame.data)


READERS: dict[str, Reader] = {
    "sse": read_sse,
    "ndjson": read_ndjson,
    "poll": read_poll,
    "websocket": read_websocket,
    "shared-websocket": read_shared_websocket,
    "feed": read_feed,
}


def sse_frames(
    api: Api, path: str, *, headers: Mapping[str, str] | None = None, **query: Any
) -> Iterator[ServerSentEvent]:
    """What an SSE parser makes of a stream; nothing when the answer is 204.

    The parser gives frames without data too, which a browser would take in without an event.
    """
    with sse_response(api, path, headers=headers, **query) as response:
        if response.status_code != 204:
            yield from EventSource(response).iter_sse()


def streaming_client() -> httpx.Client:
    return httpx.Client(timeout=SILENCE_S, verify=_TLS)


class sse_response:
    """An open SSE response, for tests that look at its bytes."""

    def __init__(
        self, api: Api, path: str, *, headers: Mapping[str, str] | None = None, **query: Any
    ) -> None:
        asked = {**api.headers, "Accept": "text/event-stream", **(headers or {})}
        self._client = streaming_client()
        self._stream = self._client.stream("GET", api.url + path, params=query, headers=asked)

    def __enter__(self) -> httpx.Response:
        response = self._stream.__enter__()
        response.raise_for_status()
        return response

    def __exit__(self, *error: Any) -> None:
        self._stream.__exit__(*error)
        self._client.close()


class Socket:
    """A WebSocket: commands out, messages in, and the code that it was closed with.

    `mute` leaves pings unanswered; `over` is a connected socket to use.
    """

    def __init__(
        self,
        api: Api,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        origin: str | None = None,
        mute: bool = False,
        over: socket.socket | None = None,
        **query: Any,
    ) -> None:
        self.code: int | None = None
        self.pings = 0
        self._mute = mute
        address = str(httpx.URL(api.url.replace("http", "ws", 1) + path, params=query))
        self._raw = websocket.create_connection(
            address,
            timeout=SILENCE_S,
            header={**api.headers, **(headers or {})},
            origin=origin,
            skip_utf8_validation=True,  # it is slow, and the JSON parser decodes strictly
            **({} if over is None else {"socket": over}),
        )
        self._early: list[Json] = []

    def send(self, text: str) -> None:
        self._raw.send(text)

    def send_bytes(self, data: bytes) -> None:
        self._raw.send_binary(data)

    def receive(self) -> Json:
        """The next message; None at the end."""
        if self._early:
            return self._early.pop(0)
        return self._receive()

    def ask(self, type: str, **fields: Json) -> Json:
        """Send a command; the answer that carries its ref. Events before it are kept."""
        ref = f"{type}-ref"
        self.send(json.dumps({"type": type, "ref": ref, **fields}))
        return self.answer_to(ref)

    def answer_to(self, ref: Json) -> Json:
        while (message := self._receive()) is not None:
            if message["type"] in ("ack", "error") and message["ref"] == ref:
                return message
            self._early.append(message)
        raise AssertionError(f"closed with {self.code} before the answer")

    def await_pings(self, count: int) -> None:
        """Take in messages until so many pings have come."""
        while self.pings < count:
            message = self._frame()
            if message is not None:
                self._early.append(json.loads(message))
            assert self.code is None, f"closed with {self.code}"

    def _receive(self) -> Json:
        while self.code is None:
            message = self._frame()
            if message is not None:
                return json.loads(message)
        return None

    def _frame(self) -> bytes | None:
        """The next message, or None for a control frame."""
        opcode, data = self._take()
        if opcode == websocket.ABNF.OPCODE_TEXT:
            return data
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            self.code = int.from_bytes(data[:2], "big") if data else 1005
        self.pings += opcode == websocket.ABNF.OPCODE_PING
        return None

    def _take(self) -> tuple[int, bytes]:
        if self._mute:
            frame = self._raw.recv_frame()
            return frame.opcode, frame.data
        return self._raw.recv_data(control_frame=True)

    def close(self) -> None:
        self._raw.close(timeout=1)
        self._raw.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
