"""Jobs from outside: submit, find, list, cancel, delete, answer, disconnect."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from streaming import (
    Conflict,
    InvalidInput,
    JobContext,
    NotFound,
    Task,
    TooMany,
    Unavailable,
    task,
)
from streaming.errors import Expired, TooLarge
from streaming.jobs.request import Request, digest_of
from streaming.storage.base import Storage
from streaming.storage.memory import MemoryStorage
from tests.clocks import Clock
from tests.gate import Gate, listening
from tests.house import MAX_EVENT_BYTES, House
from tests.jobs import OWNER, completed, new_job, types
from tests.threads import eventually


class Order(BaseModel):
    """What to count."""

    upto: int


@pytest.fixture
def quick() -> Task:
    return task("quick", input=Order)(lambda ctx, input: input.upto)


def keyed(house: House, key: str, upto: int = 3) -> tuple[str, bool]:
    """Submit with an idempotency key: the job, and whether it is new."""
    request = Request("quick", {"upto": upto})
    row, new = house.registry.submit(OWNER, request, key=key, digest=digest_of(request.input))
    return row.id, new


def test_a_submission_is_stored_with_all_that_was_asked(quick: Task) -> None:
    house = House(quick, retention_s=500)
    asked = {
        "metadata": {"a": 1},
        "on_break": "continue",
        "on_disconnect": "cancel",
        "disconnect_grace_s": 7.0,
    }

    job = house.submit(quick, {"upto": 3}, timeout_s=60.0, ttl_s=50.0, **asked)

    assert house.data(job, "job.queued") == [
        {
            "position": 0,
            "task": "quick",
            "title": "Quick",
            "input": {"upto": 3},
            "webhook": None,
            "on_break": "restart",
            "timeout_s": 60,
            "ttl_s": 50,
            **asked,
        }
    ]
    assert house.row(job).owner == OWNER


def test_a_job_is_kept_no_longer_than_the_retention(quick: Task) -> None:
    house = House(quick, retention_s=500)

    jobs = [house.submit(quick, {"upto": 1}, ttl_s=ttl_s) for ttl_s in (None, 100.0, 9999.0)]

    assert [house.row(job).options["ttl_s"] for job in jobs] == [500, 100, 500]


def test_a_submission_that_does_not_validate_leaves_nothing(quick: Task) -> None:
    house = House(quick)

    with pytest.raises(InvalidInput, match=r"input\.upto"):
        house.submit(quick, {"upto": "many"})
    with pytest.raises(InvalidInput, match="no task"):
        house.submit("unknown")

    assert house.storage.index.list() == []
    assert house.runner.load().queued == 0


def test_an_input_that_would_not_fit_into_an_event_is_too_large(quick: Task) -> None:
    house = House(quick)

    with pytest.raises(TooLarge, match=str(MAX_EVENT_BYTES)):
        house.submit(quick, {"upto": 1}, metadata={"x": "y" * MAX_EVENT_BYTES})

    assert house.storage.index.list() == []


def test_the_same_key_and_request_give_the_same_job(quick: Task) -> None:
    house = House(quick)
    job, new = keyed(house, "k")
    house.end(job)

    assert new
    assert keyed(house, "k") == (job, False)
    assert types(house.events(job)).count("job.started") == 1


def test_the_same_key_with_another_request_is_a_conflict(quick: Task) -> None:
    house = House(quick)
    keyed(house, "k", upto=3)

    with pytest.raises(Conflict):
        keyed(house, "k", upto=4)


@pytest.mark.parametrize("draining", [False, True], ids=["full", "draining"])
def test_a_known_key_is_answered_though_there_is_no_room(
    gate: Gate, held: Task, quick: Task, draining: bool
) -> None:
    house = House(held, quick, threads=1, queue=1)
    house.submit(held)
    job, _ = keyed(house, "k")
    if draining:
        house.runner.drain(finish_s=0, unwind_s=0)

    assert keyed(house, "k") == (job, False)
    with pytest.raises(Conflict):
        keyed(house, "k", upto=4)
    with pytest.raises(Unavailable if draining else TooMany):
        keyed(house, "another")


def test_digests_are_equal_for_equal_json() -> None:
    assert digest_of({"a": 1, "b": [{"c": "ä"}]}) == digest_of({"b": [{"c": "ä"}], "a": 1})
    assert digest_of({"a": [{"b": 30.0}]}) == digest_of({"a": [{"b": 30}]})
    assert digest_of({"a": 1}) != digest_of({"a": True})
    assert digest_of({"a": 30.5}) != digest_of({"a": 30})
    assert digest_of({"a": 1}) != digest_of({"a": "1"})
    assert digest_of([1, 2]) != digest_of([2, 1])


def test_a_job_is_found_by_its_owner_alone(quick: Task) -> None:
    house = House(quick)
    job = house.submit(quick, {"upto": 1})

    assert house.registry.find(job, OWNER).id == job
    for unknown, owner in ((job, "another"), ("job_unknown", OWNER), ("", OWNER)):
        with pytest.raises(NotFound):
            house.registry.find(unknown, owner)


def test_an_expired_job_is_known_as_expired_to_its_owner(quick: Task) -> None:
    house = House(quick)
    job = house.run(quick, {"upto": 1})
    house.registry.forget(job, tombstone=True)

    with pytest.raises(Expired):
        house.registry.find(job, OWNER)
    with pytest.raises(NotFound):
        house.registry.find(job, "another")


def test_a_list_is_the_owners_own(quick: Task) -> None:
    house = House(quick)
    mine = [house.run(quick, {"upto": n}) for n in range(3)]
    new_job(house.storage, owner="another")

    assert [row.id for row in house.registry.list(OWNER, limit=2)] == mine[:0:-1]
    assert [row.id for row in house.registry.list(OWNER, before=mine[1])] == [mine[0]]
    assert house.registry.list(OWNER, statuses=["failed"]) == []
    assert len(house.registry.list(OWNER, task="quick")) == 3


def test_only_a_job_that_has_ended_is_deleted() -> None:
    made = listening()
    house = House(made)
    job = house.submit(made)
    house.until_type(job, "job.started")

    with pytest.raises(Conflict):
        house.registry.delete(house.row(job))

    house.registry.cancel(house.row(job))
    house.end(job)
    house.registry.delete(house.row(job))
    with pytest.raises(NotFound):
        house.registry.find(job, OWNER)


def test_a_deleted_job_takes_its_artifacts_along() -> None:
    made: Task = task("makes")(lambda ctx, input: ctx.artifact("a", b"x", media_type="image/png"))
    house = House(made)
    job = house.run(made)

    house.registry.delete(house.row(job))

    with pytest.raises(NotFound):
        house.storage.blobs.open(f"{job}/a")
    with pytest.raises(NotFound):
        house.snapshots.public(job)


def test_a_cancel_is_said_once() -> None:
    made = listening()
    house = House(made)
    job = house.submit(made)
    house.until_type(job, "job.started")

    first, second = (house.registry.cancel(house.row(job), reason) for reason in ("one", "two"))
    house.end(job)
    third = house.registry.cancel(house.row(job), "three")

    assert first.status in ("cancelling", "cancelled")
    assert second.status in ("cancelling", "cancelled")
    assert third.status == "cancelled"
    assert house.data(job, "job.cancel_requested") == [{"reason": "one"}]


def test_a_cancel_of_a_job_that_has_ended_changes_nothing(quick: Task) -> None:
    house = House(quick)
    job = house.run(quick, {"upto": 1})

    row = house.registry.cancel(house.row(job))

    assert row.status == "completed"
    assert types(house.events(job))[-1] == "job.completed"


def test_a_cancel_of_a_deleted_job_is_harmless(quick: Task) -> None:
    house = House(quick)
    row = house.row(house.store(quick, {"upto": 1}))
    house.storage.index.remove(row.id, tombstone=False)

    assert house.registry.cancel(row).id == row.id


# Jobs that nobody watches.


def watched_job(grace_s: float = 30, storage: Storage | None = None) -> tuple[House, Clock, str]:
    """A job that ends when nobody has watched it for a time."""
    made, clock = listening(), Clock()
    house = House(made, clock=clock, storage=storage)
    job = house.submit(made, on_disconnect="cancel", disconnect_grace_s=grace_s)
    house.until_type(job, "job.started")
    return house, clock, job


def test_a_job_that_nobody_ever_watched_ends_after_its_grace() -> None:
    house, clock, job = watched_job()
    clock.advance(29)
    house.registry.supervisor.cancel_unwatched()
    assert house.row(job).status == "running"

    clock.advance(2)
    house.registry.supervisor.cancel_unwatched()

    assert "nobody" in house.end(job).data["reason"]


def test_the_grace_begins_when_the_last_viewer_has_left() -> None:
    house, clock, job = watched_job()
    viewer = house.storage.viewers.enter(job, "sse", lambda: 0)
    for _ in range(5):
        clock.advance(29)
        house.registry.supervisor.cancel_unwatched()
    house.storage.viewers.leave(job, viewer)

    clock.advance(29)
    house.registry.supervisor.cancel_unwatched()
    assert house.row(job).status == "running"
    clock.advance(2)
    house.registry.supervisor.cancel_unwatched()

    assert house.end(job).type == "job.cancelled"


def test_a_viewer_whom_the_server_sent_away_has_more_time() -> None:
    house, clock, job = watched_job(grace_s=2)
    house.storage.viewers.leave(
        job, house.storage.viewers.enter(job, "chat", lambda: 0), sent_away=True
    )

    clock.advance(30)
    house.registry.supervisor.cancel_unwatched()

    assert house.row(job).status == "running"
    house.registry.cancel(house.row(job))


def test_a_viewer_who_comes_back_in_time_keeps_the_job() -> None:
    house, clock, job = watched_job()
    clock.advance(20)
    house.storage.viewers.enter(job, "ws", lambda: 0)
    house.registry.supervisor.cancel_unwatched()

    clock.advance(25)
    house.registry.supervisor.cancel_unwatched()

    assert house.row(job).status == "running"
    house.registry.cancel(house.row(job))


def test_a_job_that_continues_needs_no_viewer() -> None:
    made, clock = listening(), Clock()
    house = House(made, clock=clock)
    job = house.submit(made)
    house.until_type(job, "job.started")

    clock.advance(10_000)
    house.registry.supervisor.cancel_unwatched()

    assert house.row(job).status == "running"
    house.registry.cancel(house.row(job))


def test_ended_jobs_are_not_looked_after_any_more() -> None:
    house, clock, job = watched_job()
    house.registry.cancel(house.row(job))
    house.end(job)

    clock.advance(100)
    house.registry.supervisor.cancel_unwatched()

    assert house.registry.supervisor.watched == 0


def test_who_accepted_a_job_looks_for_its_viewers_while_others_keep_the_jobs_of_all() -> None:
    class Elsewhere(MemoryStorage):
        """Another process has the turn for whatever one does for all."""

        def turn(self, what: str) -> bool:
            return False

    house, clock, job = watched_job(storage=Elsewhere())
    house.registry.supervisor.look()

    clock.advance(31)
    house.registry.supervisor.look()

    assert house.end(job).type == "job.cancelled"


# Answers.


class Colour(BaseModel):
    """What a person is asked for."""

    name: str


def asking(**options: Any) -> tuple[House, str]:
    """A job that waits for an answer."""

    @task("asks", **options)
    def asks(ctx: JobContext, input: Any) -> Any:
        return ctx.ask("Which?", schema=Colour).name

    house = House(asks)
    job = house.submit(asks)
    house.until_type(job, "input.requested")
    return house, job


@pytest.mark.parametrize("request_id", [None, "1"], ids=["the present one", "by its name"])
def test_an_answer_is_taken(request_id: str | None) -> None:
    house, job = asking()

    row = house.registry.answer(house.row(job), request_id, {"name": "blue"})

    assert row.id == job
    assert house.end(job).data["output"] == "blue"
    assert house.data(job, "input.received") == [{"request": "1", "data": {"name": "blue"}}]


def test_an_answer_that_does_not_fit_is_refused_by_field() -> None:
    house, job = asking()

    with pytest.raises(InvalidInput) as refused:
        house.registry.answer(house.row(job), "1", {"name": 7})

    assert [each["field"] for each in refused.value.extra["errors"]] == ["data.name"]
    assert house.row(job).status == "waiting_for_input"
    house.registry.cancel(house.row(job))


@pytest.mark.parametrize("request_id", [None, "1"], ids=["the last one", "by its name"])
def test_the_same_answer_again_is_taken_and_another_is_not(request_id: str | None) -> None:
    house, job = asking()
    waiting = house.row(job)
    house.registry.answer(waiting, request_id, {"name": "blue"})
    house.end(job)

    for row in (waiting, house.row(job)):  # a client that knows it, and one that does not
        assert house.registry.answer(row, request_id, {"name": "blue"}).id == job
        with pytest.raises(Conflict) as refused:
            house.registry.answer(row, request_id, {"name": "red"})
        assert refused.value.code == "already_answered"
    assert len(house.data(job, "input.received")) == 1


@pytest.mark.parametrize("request_id", [None, "1"])
def test_a_job_that_asks_nothing_takes_no_answer(quick: Task, request_id: str | None) -> None:
    house = House(quick)
    job = house.run(quick, {"upto": 1})

    with pytest.raises(Conflict) as refused:
        house.registry.answer(house.row(job), request_id, "x")

    assert refused.value.code == "input_not_requested"


def test_an_answer_to_another_question_is_refused() -> None:
    house, job = asking()

    with pytest.raises(Conflict):
        house.registry.answer(house.row(job), "2", {"name": "blue"})

    house.registry.cancel(house.row(job))


def test_an_answer_over_the_limit_is_too_large() -> None:
    house, job = asking()

    with pytest.raises(TooLarge):
        house.registry.answer(house.row(job), "1", {"name": "x" * MAX_EVENT_BYTES})

    house.registry.cancel(house.row(job))


def test_a_task_that_takes_input_is_fed_before_and_while_it_runs() -> None:
    @task("takes", takes_input=True)
    def takes(ctx: JobContext, input: Any) -> list[Any]:
        inputs = ctx.inputs()
        return [next(inputs), next(inputs)]

    house = House(takes)
    job = house.store(takes)
    row = house.registry.answer(house.row(job), None, "early")
    assert row.status == "queued"

    house.runner.enqueue(job, cooperative=False)
    house.until_type(job, "job.started")
    house.registry.answer(house.row(job), None, "late")

    assert house.end(job).data["output"] == ["early", "late"]


@pytest.mark.parametrize("state", ["ended", "cancelling"])
def test_a_job_that_is_over_is_not_fed(gate: Gate, state: str) -> None:
    @task("takes", takes_input=True)
    def takes(ctx: JobContext, input: Any) -> None:
        gate.wait()

    house = House(takes)
    job = house.submit(takes)
    eventually(lambda: gate.inside)
    if state == "ended":
        house.storage.log.append(job, [completed()])
    else:
        house.registry.cancel(house.row(job))

    with pytest.raises(Conflict):
        house.registry.answer(house.row(job), None, "x")
