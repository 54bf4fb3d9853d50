"""Inputs are heard while a task waits for something else, wherever the log is."""

from __future__ import annotations

from streaming.events.event import Draft
from streaming.running.listening import InputWatch
from streaming.storage.base import Storage
from tests.jobs import new_job
from tests.threads import eventually


def say(storage: Storage, job: str, said: str) -> None:
    storage.log.append(job, [Draft("input.received", {"request": None, "data": said})])


def test_an_input_that_comes_is_heard_once(storage: Storage) -> None:
    job = new_job(storage)
    heard: list[str] = []
    watch = InputWatch(
        storage.log, job, 0, lambda said: said == "stop", lambda: heard.append("stop")
    )

    with watch:
        say(storage, job, "go on")
        assert not heard
        say(storage, job, "stop")
        eventually(lambda: heard)
        say(storage, job, "stop")

    assert heard == ["stop"]


def test_an_input_that_was_there_is_heard_at_once(storage: Storage) -> None:
    job = new_job(storage)
    say(storage, job, "stop")
    heard: list[str] = []

    with InputWatch(storage.log, job, 0, lambda _: True, lambda: heard.append("stop")):
        assert heard == ["stop"]


def test_behind_the_block_nothing_is_heard(storage: Storage) -> None:
    job = new_job(storage)
    heard: list[str] = []

    with InputWatch(storage.log, job, 0, lambda _: True, lambda: heard.append("stop")):
        pass
    say(storage, job, "stop")

    assert heard == []
