"""The contract of outboxes: calls are written with their events, and outlast them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from streaming.storage.base import Storage
from streaming.storage.outbox import CALLING, Call, Outbox
from streaming.storage.redis import RedisStorage
from tests.jobs import (
    answered,
    asked_for,
    cancelled,
    completed,
    delta,
    failed,
    new_job,
    said,
    started,
)
from tests.links import LinkedStorage
from tests.storage.conftest import make_sqlite

URL = "https://hooks.example.com/jobs"


def outbox_of(storage: Storage) -> Outbox:
    """The outbox of the process that has the storage."""
    served = storage.served if isinstance(storage, LinkedStorage) else storage
    assert served.outbox is not None
    return served.outbox


def due(storage: Storage, *, in_s: float = 1.0, limit: int = 100) -> list[Call]:
    return list(outbox_of(storage).due(time.time() + in_s, limit=limit))


def hooked(storage: Storage, *events: str, **given: Any) -> str:
    """The id of a job with a webhook; of all events, where none is named."""
    return new_job(storage, webhook={"url": URL, "events": list(events or CALLING)}, **given)


def told(call: Call) -> Any:
    return json.loads(call.body)


def test_the_end_of_a_job_without_a_webhook_makes_no_call(storage: Storage) -> None:
    job = new_job(storage, webhook=None)
    storage.log.append(job, [started(), asked_for()])

    storage.log.append(job, [completed()])

    assert due(storage) == []


@pytest.mark.parametrize("end", [completed, failed, cancelled])
def test_each_end_makes_one_call_that_tells_of_it(storage: Storage, end: Callable[[], Any]) -> None:
    job = hooked(storage, metadata={"order": 7})
    storage.log.append(job, [started(), delta()])

    storage.log.append(job, [said(), end()])

    (call,) = due(storage)
    assert (call.job, call.url, call.tries) == (job, URL, 0)
    assert told(call)["type"] == end().type
    assert told(call)["data"].items() >= {"id": job, "metadata": {"order": 7}, "seq": 5}.items()


def test_a_question_makes_a_call_with_what_is_asked(storage: Storage) -> None:
    job = hooked(storage)

    storage.log.append(job, [started(), asked_for("which", {"type": "string"})])

    (call,) = due(storage)
    assert told(call)["type"] == "input.requested"
    assert told(call)["data"]["request"] == "which"
    assert told(call)["data"]["schema"] == {"type": "string"}
    assert told(call)["data"]["status"] == "waiting_for_input"


def test_events_pick_what_is_told(storage: Storage) -> None:
    job = hooked(storage, "job.failed", "input.requested")
    storage.log.append(job, [started(), asked_for(), answered(1)])

    storage.log.append(job, [completed()])

    assert [told(call)["type"] for call in due(storage)] == ["input.requested"]


def test_several_events_of_one_append_make_a_call_each_with_ids_of_their_own(
    storage: Storage,
) -> None:
    job = hooked(storage)

    storage.log.append(job, [started(), asked_for(), answered(1), completed()])

    calls = due(storage)
    assert sorted(told(call)["type"] for call in calls) == ["input.requested", "job.completed"]
    assert len({call.id for call in calls}) == 2
    assert all(told(call)["id"] == call.id for call in calls)


def test_posted_text_before_the_end_makes_no_call(storage: Storage) -> None:
    job = hooked(storage)
    storage.log.append(job, [started()])

    storage.log.post(job, [delta()], attempt=1).result()

    assert due(storage) == []


def test_an_append_that_is_refused_makes_no_call(storage: Storage) -> None:
    job = hooked(storage)
    storage.log.append(job, [completed()])

    with pytest.raises(Exception, match="has ended"):
        storage.log.append(job, [failed()])

    assert [told(call)["type"] for call in due(storage)] == ["job.completed"]


def test_what_is_large_is_left_out_and_named(storage: Storage) -> None:
    job = hooked(storage, metadata={"small": 1})

    storage.log.append(job, [started(), completed({"text": "x" * 50_000})])

    (call,) = due(storage)
    assert len(call.body) < 20_000
    assert told(call)["data"]["left_out"] == ["output"]
    assert told(call)["data"]["metadata"] == {"small": 1}


def test_a_call_that_is_put_off_is_due_at_its_time_with_its_tries(storage: Storage) -> None:
    job = hooked(storage)
    storage.log.append(job, [completed()])
    (call,) = due(storage)

    outbox_of(storage).put_off(replace(call, tries=3), time.time() + 100)

    assert due(storage) == []
    (later,) = due(storage, in_s=101)
    assert later == replace(call, tries=3)


def test_calls_come_in_the_order_of_their_time_and_no_more_than_wanted(storage: Storage) -> None:
    jobs = [hooked(storage) for _ in range(3)]
    for job in jobs:
        storage.log.append(job, [completed()])
    now = time.time()
    for call in due(storage):
        outbox_of(storage).put_off(call, now - jobs.index(call.job))

    assert [call.job for call in due(storage)] == jobs[::-1]
    assert [call.job for call in due(storage, limit=2)] == jobs[:0:-1]


def test_a_call_that_is_dropped_is_gone_and_neither_dropping_nor_putting_off_brings_it_back(
    storage: Storage,
) -> None:
    job = hooked(storage)
    storage.log.append(job, [completed()])
    (call,) = due(storage)

    for _ in range(2):
        outbox_of(storage).drop(call)
    outbox_of(storage).put_off(call, time.time())

    assert due(storage) == []


@pytest.mark.parametrize("tombstone", [True, False])
def test_a_call_outlasts_its_job(storage: Storage, tombstone: bool) -> None:
    job = hooked(storage)
    storage.log.append(job, [completed({"answer": 42})])

    storage.index.remove(job, tombstone=tombstone)

    (call,) = due(storage)
    assert told(call)["data"]["output"] == {"answer": 42}


def test_a_receiver_that_wants_no_more_of_a_job_gets_no_more_of_it(storage: Storage) -> None:
    job, other = hooked(storage), hooked(storage)
    storage.log.append(other, [completed()])
    storage.log.append(job, [started(), asked_for("one"), answered(1, "one"), asked_for("two")])
    first = next(call for call in due(storage) if call.job == job)

    outbox_of(storage).refuse(first)
    storage.log.append(job, [answered(2, "two"), asked_for("three")])
    storage.log.append(job, [completed()])

    assert [call.job for call in due(storage)] == [other]


def test_a_refusal_at_the_end_drops_the_call(storage: Storage) -> None:
    job = hooked(storage)
    storage.log.append(job, [completed()])
    (call,) = due(storage)

    outbox_of(storage).refuse(call)

    assert due(storage) == []


def test_calls_and_refusals_outlast_a_restart(tmp_path: Path) -> None:
    before = make_sqlite(tmp_path)
    before.open(timeout=1)
    job, refused = hooked(before), hooked(before)
    before.log.append(refused, [started(), asked_for()])
    before.outbox.refuse(due(before)[0])
    before.log.append(job, [completed()])
    (call,) = due(before)
    before.close()

    after = make_sqlite(tmp_path)
    after.open(timeout=1)
    after.log.append(refused, [completed()])

    assert due(after) == [call]
    after.close()


def test_on_redis_every_process_sees_the_calls_of_all(
    make_redis: Callable[..., RedisStorage],
) -> None:
    one, other = make_redis(), make_redis()
    for each in (one, other):
        each.open(timeout=1)
    job = hooked(one)
    other.log.append(job, [started(), asked_for()])

    (call,) = due(one)
    one.outbox.refuse(call)
    other.log.append(job, [completed()])

    assert due(other) == []
    for each in (one, other):
        each.close()


def test_on_redis_nothing_is_kept_of_a_job_whose_calls_are_made(
    make_redis: Callable[..., RedisStorage], redis_server: Any
) -> None:
    storage = make_redis()
    storage.open(timeout=1)
    job = hooked(storage)
    storage.log.append(job, [started(), asked_for()])
    storage.outbox.refuse(due(storage)[0])
    storage.log.append(job, [answered(1), completed()])
    other = hooked(storage)
    storage.log.append(other, [completed()])
    storage.outbox.drop(due(storage)[0])

    with redis_server.client() as client:
        assert client.keys("streaming:outbox:*") == []
    storage.close()
