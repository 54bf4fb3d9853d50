"""Large events and slow readers: whole frames, and nobody else waits."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from urllib.parse import urlsplit

import pytest

from tests.e2e.clients import READERS, Api, Envelope, Reader, Socket, read_sse
from tests.e2e.reading import assert_ended, assert_whole, texts
from tests.e2e.server import Server

SIZE = 5 << 20


class SlowSocket(socket.socket):
    """Has room for little, and pauses before it takes it in."""

    pause_s = 0.0

    @classmethod
    def connect_to(cls, url: str) -> SlowSocket:
        address = urlsplit(url)
        made = cls(socket.AF_INET, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
        made.settimeout(20)
        made.connect((address.hostname, address.port))
        return made

    def recv(self, *how: int) -> bytes:
        time.sleep(self.pause_s)
        return super().recv(*how)


@pytest.fixture
def api(roomy: Server) -> Api:
    return roomy.api


def test_a_large_frame_arrives_whole_at_a_slow_reader_while_pings_run(api: Api) -> None:
    slow = SlowSocket.connect_to(api.url)
    job = api.submit("pausing-before-large-text", {"bytes": SIZE})
    api.reach(job, "waiting_for_input")

    with Socket(api, f"/v1/jobs/{job}/ws", over=slow) as connection:
        connection.await_pings(1)
        slow.pause_s = 0.02
        api.answer(job, "go on")
        events = list(iter(connection.receive, None))

    assert connection.code == 1000
    assert_ended(events)
    assert len("".join(texts(events).values())) == SIZE
    assert connection.pings >= 2


def test_large_and_small_frames_keep_their_order(api: Api) -> None:
    job = api.submit("large-text", {"bytes": SIZE})

    with Socket(api, "/v1/ws", over=SlowSocket.connect_to(api.url)) as connection:
        connection.ask("subscribe", job=job)
        for number in range(50):
            connection.send(f'{{"type": "ping", "ref": {number}}}')
        answers, text = [], ""
        while len(answers) < 50 or len(text) < SIZE:
            message = connection.receive()
            if message["type"] == "ack":
                answers.append(message["ref"])
            elif message["type"] == "text.delta":
                text += message["data"]["text"]

    assert answers == list(range(50))
    assert text == "0123456789abcdef" * (SIZE // 16)


def test_a_large_event_is_whole_on_every_transport(api: Api, read: Reader) -> None:
    job = api.run("large-text", {"bytes": SIZE})["id"]

    events = list(read(api, job))

    assert "".join(texts(events).values()) == "0123456789abcdef" * (SIZE // 16)
    assert_ended(events)


def test_readers_that_do_not_read_cost_the_others_no_time(api: Api) -> None:
    job = api.submit("pausing-before-large-text", {"bytes": SIZE})
    api.reach(job, "waiting_for_input")

    def time_to_read() -> float:
        events = read_sse(api, job)
        while next(events)["type"] != "input.requested":
            pass
        began = time.monotonic()
        assert list(events)[-1]["type"] == "job.completed"
        return time.monotonic() - began

    with ThreadPoolExecutor(3) as pool:
        stalled = [stall(api, job) for _ in range(5)]
        reading = [pool.submit(time_to_read) for _ in range(3)]
        try:
            api.answer(job, "go on")
            assert max(each.result() for each in reading) < 5
        finally:
            for each in stalled:
                each.close()


def test_readers_who_stall_get_the_same_text_later(api: Api) -> None:
    chorus = {"word": "x" * 20_000 + "\n", "times": 300}
    job = api.submit("chorus-then-asking", chorus)

    with ExitStack() as stack:
        streams = {n: stack.enter_context(closing(r(api, job))) for n, r in READERS.items()}
        first = {name: next(stream) for name, stream in streams.items()}
        api.reach(job, "waiting_for_input")
        api.answer(job, "go on")
        with ThreadPoolExecutor(len(READERS)) as pool:
            reading = {name: pool.submit(list, stream) for name, stream in streams.items()}

    shown = api.snapshot(job)
    assert shown["text"] == chorus["word"] * 300
    for name, future in reading.items():
        seen = [first[name], *future.result()]
        assert_ended(seen)
        assert assert_whole(seen) == shown["seq"], name
        assert "".join(texts(seen).values()) == shown["text"], name


def test_readers_who_fall_behind_and_catch_up_are_given_each_event_once(api: Api) -> None:
    chorus = {"word": "x" * 20_000 + "\n", "times": 200}
    for _ in range(2):
        job = api.submit("chorus-then-asking", chorus)

        with ThreadPoolExecutor(len(READERS)) as pool:
            reading = {n: pool.submit(read_unevenly, api, job, r) for n, r in READERS.items()}
            api.reach(job, "waiting_for_input", timeout_s=30)
            api.answer(job, "go on")

        for name, future in reading.items():
            assert assert_whole(future.result()) == api.snapshot(job)["seq"], name


def read_unevenly(api: Api, job: str, read: Reader) -> list[Envelope]:
    """All events, with another request now and then between them: a pause."""
    seen = []
    for event in read(api, job):
        seen.append(event)
        if len(seen) % 20 == 1:
            api.get(f"/v1/jobs/{job}/viewers")
    return seen


def stall(api: Api, job: str) -> SlowSocket:
    """A stream that is asked for and never read."""
    raw = SlowSocket.connect_to(api.url)
    raw.sendall(f"GET /v1/jobs/{job}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return raw
