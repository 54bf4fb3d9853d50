"""How far a task may be ahead of the commit of what it says."""

from __future__ import annotations

import multiprocessing
from typing import Any

import pytest

from streaming.concurrency.pending import Pending, settle
from streaming.concurrency.stop_signal import StopSignal
from streaming.errors import TaskError
from streaming.events import make
from streaming.running.emitter import POSTED_BYTES, POSTS, Emitter
from streaming.storage.rows import JobRow
from tests.threads import Background, eventually


class SlowLog:
    """A log that commits what is posted when it is told to."""

    def __init__(self) -> None:
        self.posts: list[Pending[JobRow]] = []

    def post(self, *_: Any, **__: Any) -> Pending[JobRow]:
        self.posts.append(Pending())
        return self.posts[-1]


def emitter_on(log: Any) -> Emitter:
    return Emitter(
        log,
        "job_1",
        attempt=1,
        stop=StopSignal(),
        max_event_bytes=2 * POSTED_BYTES,
        spend=lambda _events, _size: None,
    )


@pytest.mark.parametrize(
    ("size", "free"), [(10, POSTS), (POSTED_BYTES // 2, 2)], ids=["events", "bytes"]
)
def test_who_is_too_far_ahead_waits_for_the_oldest_commit(size: int, free: int) -> None:
    log = SlowLog()
    posts = emitter_on(log)
    for _ in range(free - 1):
        posts.emit(make.text_delta, "a", "x" * size)

    def go_on() -> None:
        for _ in range(2):
            posts.emit(make.text_delta, "a", "x" * size)

    rest = Background(go_on)
    eventually(lambda: len(log.posts) >= free)
    assert not rest.ends_within(0.2)
    assert len(log.posts) == free
    settle(log.posts[:1])

    rest.result()
    assert len(log.posts) == free + 1


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_is_told_that_it_has_no_job() -> None:
    posts, forks = emitter_on(SlowLog()), multiprocessing.get_context("fork")
    ours, theirs = forks.Pipe()

    def say() -> None:
        try:
            theirs.send(posts.emit(make.text_delta, "a", "x"))
        except TaskError as error:
            theirs.send(error.code)

    child = forks.Process(target=say)
    child.start()
    child.join(20)

    assert ours.poll(0)
    assert ours.recv() == "forked"
