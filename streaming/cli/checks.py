"""What `doctor` looks at, in order, and what it makes of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from typing import Literal

import requests

from streaming.cli.probes import Reading, Upgrade, offers_http2, open_websocket, read_stream
from streaming.client import Client, ClientError
from streaming.client.calls import base_of, headers_of
from streaming.events.vocabulary import JsonObject

#: The task that streams: at so many tokens a second, for so many, and one that is quiet.
TASK = "generate"
LIVELY: JsonObject = {"prompt": "doctor", "max_tokens": 40, "tokens_per_s": 10}
QUIET: JsonObject = {"prompt": "doctor", "max_tokens": 2, "tokens_per_s": 0.01}
LIVELY_S = 15.0
#: Seconds by which events may be held up among each other; by which clocks may differ.
HELD_S, CLOCK_S = 1.0, 2.0
#: Seconds that a quiet stream is watched: two heartbeats of 15 s, and some. What a poll waits for.
QUIET_S, POLL_S = 36.0, 25.0

State = Literal["ok", "note", "bad"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    state: State
    seen: str
    change: str = ""

    def as_json(self) -> dict[str, str]:
        return asdict(self)


def examine(
    client: Client,
    url: str,
    api_key: str | None,
    *,
    quick: bool,
    clock: Callable[[], float] = time.time,
) -> Iterator[Finding]:
    """The findings, one by one. `ClientError` when there is no server, or no right to try it."""
    deployment = _Deployment(client, url, api_key, clock)
    yield from deployment.reach()
    if not deployment.can_try:
        return
    with deployment:
        yield from deployment.stream()
        yield from deployment.upgrade()
        if not quick:
            yield from deployment.quiet()


class _Deployment:
    """One deployment under examination, with the jobs that were started for it."""

    def __init__(
        self, client: Client, url: str, api_key: str | None, clock: Callable[[], float]
    ) -> None:
        self._time = clock
        self._client = client
        self._base = base_of(url)
        self._headers = headers_of(api_key or None)
        self._jobs: list[str] = []
        self._held = False
        self.can_try = True

    def __enter__(self) -> _Deployment:
        return self

    def __exit__(self, *_: object) -> None:
        for job in self._jobs:
            with contextlib.suppress(ClientError):
                self._client.cancel(job, "the doctor has seen enough")
                self._client.wait(job, timeout_s=10)
                self._client.delete(job)

    # -- without a job

    def reach(self) -> Iterator[Finding]:
        tasks = [task["name"] for task in self._client.tasks()]
        yield Finding("server", "ok", f"answers at {self._base}, with {len(tasks)} tasks")
        yield from self._ready()
        yield self._clock()
        yield self._protocol()
        if TASK not in tasks:
            self.can_try = False
            seen = f"there is no task {TASK} that could be watched; streams were not tried"
            yield Finding("streams", "note", seen)

    def _ready(self) -> Iterator[Finding]:
        with contextlib.suppress(requests.RequestException, ValueError):
            answer = requests.get(self._base.removesuffix("/v1") + "/readyz", timeout=10)
            found = answer.json() if answer.status_code in (200, 503) else {}
            if found.get("missing"):
                missing = "; ".join(found["missing"])
                yield Finding("ready", "bad", missing, "see /readyz; until then jobs may not run")
            for note in found.get("notes", []):
                yield Finding("ready", "note", note)

    def _clock(self) -> Finding:
        asked = self._time()
        answer = requests.get(f"{self._base}/tasks", headers=self._headers, timeout=10)
        here, said = (asked + self._time()) / 2, answer.headers.get("Date")
        if said is None:
            return Finding("clock", "note", "the answers have no Date")
        # A Date is cut to whole seconds: half a second more is nearer to the truth.
        off = parsedate_to_datetime(said).timestamp() + 0.5 - here
        if abs(off) <= CLOCK_S:
            return Finding("clock", "ok", f"{abs(off):.1f} s apart from this machine's")
        ahead = "ahead of" if off > 0 else "behind"
        return Finding(
            "clock",
            "bad",
            f"the server's is {abs(off):.0f} s {ahead} this machine's",
            "set the clocks by NTP: times, tickets and idempotency keys depend on them",
        )

    def _protocol(self) -> Finding:
        try:
            offered = offers_http2(self._base)
        except OSError as error:
            return Finding("HTTP/2", "note", f"cannot be found out: {error}")
        if offered:
            return Finding("HTTP/2", "ok", "offered: a browser shares one connection")
        why = "no TLS, and browsers want HTTP/2 only with it" if offered is None else "not offered"
        return Finding(
            "HTTP/2",
            "note",
            f"{why}: a browser opens six connections to a host, streams included",
            "let the proxy offer HTTP/2 over TLS (nginx: listen 443 ssl; http2 on), or follow "
            "several jobs over one connection (/v1/events, /v1/ws)",
        )

    # -- with a job that streams

    def _start(self, input: JsonObject) -> str:
        job = self._client.submit(TASK, input, metadata={"by": "streaming doctor"})["id"]
        self._jobs.append(job)
        return job

    def _url(self, job: str, way: str) -> str:
        return f"{self._base}/jobs/{job}/{way}"

    def stream(self) -> Iterator[Finding]:
        reading = read_stream(
            self._url(self._start(LIVELY), "events"), self._headers, for_s=LIVELY_S
        )
        self._held = reading.held_s > HELD_S or not reading.events
        if reading.status not in (0, 200):
            self._held = True
            yield Finding(
                "SSE", "bad", f"a stream is answered with {reading.status}", _pass_on(reading)
            )
            return
        if self._held:
            yield Finding("buffering", "bad", _how_held(reading), _unbuffer(reading))
            return
        first = f"{reading.first_byte_s or 0:.2f} s to the first byte"
        yield Finding("buffering", "ok", f"each event came at once ({first})")

    def upgrade(self) -> Iterator[Finding]:
        found = open_websocket(self._url(self._jobs[0], "ws"), self._headers, for_s=5.0)
        if found.status == 101 and found.frames:
            yield Finding("WebSocket", "ok", "the upgrade passes, and events come")
        elif found.status == 101:
            yield Finding(
                "WebSocket",
                "bad",
                "the upgrade passes, but no event comes",
                "let the proxy pass the connection on as it is once it has answered 101",
            )
        else:
            status = f"{found.status} {found.reason}".strip() if found.status else found.reason
            yield Finding(
                "WebSocket",
                "bad",
                f"the upgrade is answered with {status}",
                "pass it on. nginx: proxy_http_version 1.1; proxy_set_header Upgrade "
                "$http_upgrade; proxy_set_header Connection upgrade",
            )

    # -- with a job that is quiet

    def quiet(self) -> Iterator[Finding]:
        job = self._start(QUIET)
        self._settle(job)
        after = self._client.job(job)["seq"]
        with ThreadPoolExecutor(3) as pool:
            events = f"{self._url(job, 'events')}?after={after}"
            stream = pool.submit(read_stream, events, self._headers, for_s=QUIET_S, beats=2)
            poll = pool.submit(self._poll, job, after)
            ws_url = f"{self._url(job, 'ws')}?after={after}"
            socket = pool.submit(open_websocket, ws_url, self._headers, for_s=QUIET_S / 2)
            yield self._heartbeats(stream.result())
            yield poll.result()
            found = socket.result()
            if found.status == 101:
                yield self._quiet_socket(found)

    def _settle(self, job: str) -> None:
        """Until the job has said what it says at its start."""
        until = time.monotonic() + 10
        seq = -1
        while time.monotonic() < until:
            found = self._client.job(job)
            if found["status"] == "running" and found["seq"] == seq:
                return
            seq = found["seq"]
            time.sleep(0.5)

    def _heartbeats(self, reading: Reading) -> Finding:
        beats = reading.beats_s
        if reading.ended_s is not None:
            kept = f"a quiet stream is cut off after {reading.ended_s:.0f} s"
            seen = f"{kept}, although heartbeats came" if beats else f"{kept}, before a heartbeat"
            return Finding("idle time-out", "bad", seen, _wait_longer(reading.ended_s))
        if self._held:
            seen = "cannot be seen while streams are held back; look again when that is mended"
            return Finding("heartbeats", "note", seen)
        if not beats:
            return Finding(
                "heartbeats",
                "bad",
                f"none within {QUIET_S:.0f} s",
                "set STREAMING_HEARTBEAT_S to 15 or less, and let comments of streams pass",
            )
        every = beats[-1] - beats[-2] if len(beats) > 1 else beats[0]
        return Finding("heartbeats", "ok", f"every {every:.0f} s, and a quiet stream stays open")

    def _poll(self, job: str, after: int) -> Finding:
        """A long poll that has to wait."""
        url = f"{self._url(job, 'poll')}?after={after}&wait={POLL_S:g}"
        began = time.monotonic()
        try:
            answer = requests.get(url, headers=self._headers, timeout=POLL_S + 15)
            status = str(answer.status_code)
            if answer.ok:
                return Finding("long poll", "ok", f"may wait for {time.monotonic() - began:.0f} s")
        except requests.RequestException:
            status = "a cut connection"
        waited = time.monotonic() - began
        seen = f"one that waits is answered with {status} after {waited:.0f} s"
        return Finding("long poll", "bad", seen, _wait_longer(waited))

    def _quiet_socket(self, found: Upgrade) -> Finding:
        if found.ended_s is None:
            return Finding("quiet WebSocket", "ok", "stays open")
        seen = f"is cut off after {found.ended_s:.0f} s"
        return Finding("quiet WebSocket", "bad", seen, _wait_longer(found.ended_s))


def _how_held(reading: Reading) -> str:
    if not reading.events:
        return f"no event came within {LIVELY_S:.0f} s"
    packed = reading.headers.get("Content-Encoding")
    how = f", packed as {packed}" if packed else ""
    return f"events are held back, up to {reading.held_s:.1f} s{how}"


def _unbuffer(reading: Reading) -> str:
    if reading.headers.get("Content-Encoding"):
        return "do not pack text/event-stream on the way: nginx: gzip off; others: no compression"
    return (
        "let answers through unbuffered: nginx: proxy_buffering off, and no proxy_ignore_headers "
        "X-Accel-Buffering; Apache: flushpackets=on; others: streaming responses"
    )


def _pass_on(reading: Reading) -> str:
    server = reading.headers.get("Server", "the proxy")
    return f"see what {server} does with GET …/events and Accept: text/event-stream"


def _wait_longer(seconds: float) -> str:
    return (
        f"let the proxy wait longer than 30 s for the server (nginx: proxy_read_timeout 330s); "
        f"or set STREAMING_HEARTBEAT_S below {max(1, round(seconds))}, which helps streams alone"
    )
