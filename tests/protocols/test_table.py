"""Every protocol, in every trouble: one table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import requests

from tests.e2e.server import Server
from tests.e2e.waiting import eventually
from tests.protocols.conftest import NewServer, ends_as
from tests.protocols.ways import WAYS, Frames, Way, frames_of

#: What the task `counting` says for a number.
NUMBERS = {count: "".join(f"{number} " for number in range(count)) for count in (100, 200, 300)}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    return WAYS[request.param]()


def test_a_cut_stream_is_whole_when_its_reader_comes_back(server: Server, way: Way) -> None:
    way.headers = {"X-On-Disconnect": "continue"}
    with way.begin(server, "100 numbers", "counting") as response:
        frames = frames_of(response)
        seen = [next(frames) for _ in range(way.cut_after)]

    way.come_back(server, seen)

    assert way.text(seen) == NUMBERS[100]
    assert way.end(seen) == "completed"


def test_a_stream_says_what_it_is_and_is_neither_kept_nor_held_back(
    server: Server, way: Way
) -> None:
    with way.begin(server, "2 numbers", "counting") as response:
        told = response.headers

    assert told["Content-Type"] == "text/event-stream; charset=utf-8"
    assert told["Cache-Control"] == "no-store, no-transform"
    assert told["X-Accel-Buffering"] == "no"


def test_a_cancel_of_another_client_is_told(server: Server, way: Way) -> None:
    with way.begin(server, "2000 numbers", "counting") as response:
        requests.post(f"{server.url}/v1/jobs/{way.job}/cancel", timeout=5)
        seen = list(frames_of(response))

    assert way.end(seen) == "cancelled"
    ends_as(server, way.job, "cancelled")


def test_a_task_that_fails_is_told(server: Server, way: Way) -> None:
    seen = list(frames_of(way.begin(server, "x", "breaking")))

    assert way.end(seen) == "failed"
    assert "it broke in the middle" in json.dumps(seen)


def test_a_question_is_shown_and_anybody_answers_it(server: Server, way: Way) -> None:
    with way.begin(server, "x", "asking") as response:
        if way.shows_questions:
            assert any("Which colour?" in json.dumps(frame) for _, frame in frames_of(response))
        ends_as(server, way.job, "waiting_for_input")
        answer = {"data": {"colour": "red"}}
        taken = requests.post(f"{server.url}/v1/jobs/{way.job}/input", json=answer, timeout=5)
        assert taken.status_code == 200

    assert ends_as(server, way.job, "completed")["text"] == "the colour is red"


class Trouble:
    """All ways at once on a server of their own; each reads until its stream ends in some way."""

    def __init__(self, server: Server, question: str) -> None:
        self.server = server
        self.ways = {name: kind() for name, kind in WAYS.items()}
        self.seen: dict[str, Frames] = {name: [] for name in WAYS}
        #: How each stream has ended, and its last frame.
        self.ends: dict[str, tuple[str, str]] = {}
        self._pool = ThreadPoolExecutor(len(WAYS))
        self._reading = [self._pool.submit(self._read, name, question) for name in WAYS]

    def wait_until_all_have_begun(self) -> None:
        """Each has read the beginning of an answer, or its job runs."""
        for name, way in self.ways.items():
            eventually(lambda: way.job, f"{name} has asked", timeout_s=30)  # noqa: B023
            ends_as(self.server, way.job, "running")
            seen = self.seen[name]
            eventually(lambda: len(seen) >= way.cut_after, f"{name} reads")  # noqa: B023

    def wait_until_all_have_ended(self) -> None:
        for each in self._reading:
            each.result()

    def come_back(self) -> None:
        """All whose answers have not ended read on, at once."""
        left = [name for name in WAYS if self.ends[name][0] in ("cut", "interrupted")]
        coming = [
            self._pool.submit(self.ways[name].come_back, self.server, self.seen[name])
            for name in left
        ]
        self._pool.shutdown()
        for each in coming:
            each.result()

    def text(self, name: str) -> str:
        """The answer of a way that was told its whole end."""
        assert self.ways[name].end(self.seen[name]) == "completed"
        return self.ways[name].text(self.seen[name])

    def _read(self, name: str, question: str) -> None:
        way, seen = self.ways[name], self.seen[name]
        begun = way.begin(self.server, question, "counting")
        with begun, suppress(requests.RequestException):  # the server was killed
            seen.extend(frames_of(begun))
        self.ends[name] = (way.end(seen), json.dumps(seen[-1:]))


@pytest.fixture(scope="module")
def killed(make_server: NewServer) -> Iterator[Trouble]:
    with make_server() as server:
        trouble = Trouble(server.start(), "300 numbers")
        trouble.wait_until_all_have_begun()
        trouble.server.kill()
        trouble.wait_until_all_have_ended()
        trouble.server.start()
        trouble.come_back()
        yield trouble


@pytest.fixture(scope="module")
def drained(make_server: NewServer) -> Iterator[Trouble]:
    with make_server(STREAMING_DRAIN_S=4) as server:
        trouble = Trouble(server.start(), "300 numbers")
        trouble.wait_until_all_have_begun()
        trouble.server.process.terminate()
        trouble.wait_until_all_have_ended()
        trouble.server.wait_until_ended()
        trouble.server.start()
        trouble.come_back()
        yield trouble


@pytest.fixture(scope="module")
def rotated(make_server: NewServer) -> Iterator[Trouble]:
    with make_server(STREAMING_ROTATE_S=1) as server:
        trouble = Trouble(server.start(), "200 numbers")
        trouble.wait_until_all_have_ended()
        trouble.come_back()
        yield trouble


@pytest.mark.parametrize("name", WAYS)
def test_after_a_kill_readers_come_back_to_the_whole(killed: Trouble, name: str) -> None:
    assert killed.ends[name][0] == "cut"
    assert killed.text(name) == NUMBERS[300]


@pytest.mark.parametrize("name", WAYS)
def test_a_drain_is_told_and_readers_come_back_to_the_whole(drained: Trouble, name: str) -> None:
    end, last = drained.ends[name]
    if WAYS[name].comes_back:
        assert end == "cut"
    else:
        assert end == "interrupted"
        assert drained.ways[name].job in last
    assert drained.text(name) == NUMBERS[300]


@pytest.mark.parametrize("name", WAYS)
def test_rotation_closes_only_what_is_come_back_to_unasked(rotated: Trouble, name: str) -> None:
    assert rotated.ends[name][0] == ("cut" if WAYS[name].rotates else "completed")
    assert rotated.text(name) == NUMBERS[200]
