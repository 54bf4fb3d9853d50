"""After a crash: a second server on the same storage takes up what goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from streaming import JobContext, Task, task
from streaming.events.event import Draft
from streaming.events.snapshot import Snapshot
from streaming.jobs.supervisor import SUSPICIOUS, TRIAL_S
from streaming.running.task import LOST_ATTEMPTS, LOST_TRIALS
from streaming.storage.snapshots import Snapshots
from tests.clocks import Clock
from tests.gate import Gate, held_at
from tests.house import House
from tests.jobs import asked_for, completed, delta, started, step, types
from tests.logs import cancel_requested, handed_over
from tests.storage.conftest import make_sqlite
from tests.threads import eventually


def quick() -> Task:
    return task("quick")(lambda ctx, input: "done")


def lost(attempt: int, *, on_trial: bool = False) -> Draft:
    """What is left of an attempt whose worker died."""
    data: dict[str, Any] = {"attempt": attempt, "worker": "a dead one"}
    return Draft("job.started", {**data, "on_trial": True} if on_trial else data)


def lost_alone() -> Draft:
    """What a worker says when the process of a suspect has died."""
    return Draft("log", {"level": "error", "message": "its process died", "lost_alone": True})


def left_behind(house: House, made: Task, *drafts: Draft, **asked: Any) -> str:
    """A job as a server leaves it that was killed."""
    job = house.store(made, **asked)
    if drafts:
        house.storage.log.append(job, drafts)
    return job


def test_a_job_that_waited_is_run() -> None:
    made = quick()
    house = House(made)
    job = left_behind(house, made)

    House(made, storage=house.storage).take_up()

    assert house.end(job).data["output"] == "done"


def test_a_job_that_ran_goes_on_as_the_next_attempt() -> None:
    made = quick()
    house = House(made)
    job = left_behind(house, made, started(1), step("read", "running"))

    House(made, storage=house.storage).take_up()

    assert house.end(job).data["output"] == "done"
    assert [each["attempt"] for each in house.data(job, "job.started")] == [1, 2]


def test_finished_steps_are_not_run_again_and_unfinished_text_starts_over(gate: Gate) -> None:
    runs: list[str] = []

    @task("three", steps=["one", "two", "three"])
    def three(ctx: JobContext, input: Any) -> list[str]:
        def write(name: str) -> str:
            runs.append(name)
            ctx.text(f"{name} of attempt {ctx.attempt}. ")
            if name == "two" and ctx.attempt == 1:
                gate.wait()
                ctx.text("a zombie's")
            return name

        return [ctx.step(name, write, name) for name in ("one", "two", "three")]

    first = House(three)
    job = first.submit(three)
    eventually(lambda: gate.inside)
    second = House(three, storage=first.storage)
    second.take_up()
    end = second.end(job)
    gate.open()  # the first worker was not dead after all
    eventually(lambda: first.runner.load().running == 0)

    assert end.data["output"] == ["one", "two", "three"]
    assert runs == ["one", "two", "two", "three"]
    assert second.state(job).text == "one of attempt 1. two of attempt 2. three of attempt 2. "
    assert second.data(job, "text.reset") == [{"item": "two"}]


class Late(Snapshots):
    """Folds after which something happens, once."""

    then: Callable[[], object] | None = None

    def state(self, job: str) -> Snapshot:
        found = super().state(job)
        if self.then is not None:
            then, self.then = self.then, None
            then()
        return found


def test_a_step_that_completes_while_another_attempt_begins_is_not_started_over() -> None:
    runs: list[str] = []

    @task("two", steps=["one", "two"])
    def two(ctx: JobContext, input: Any) -> str:
        def write(name: str) -> str:
            runs.append(name)
            ctx.text(name)
            return name

        return "".join(ctx.step(name, write, name) for name in ("one", "two"))

    house = House(two)
    job = left_behind(house, two, started(1), step("one", "running"), delta("one", "one"))
    snapshots = Late(house.storage.log, house.storage.index)
    snapshots.then = lambda: house.storage.log.append(
        job, [step("one", "completed")], attempt=1, records={"step:one": b'"one"'}
    )

    house.attempt(job, snapshots=snapshots).run()

    assert house.end(job).data["output"] == "onetwo"
    assert house.state(job).text == "onetwo"
    assert house.data(job, "text.reset") == []
    assert runs == ["two"]


def test_everything_goes_on_from_the_file(tmp_path: Path, gate: Gate) -> None:
    runs: list[str] = []

    @task("two")
    def two(ctx: JobContext, input: Any) -> Any:
        result = ctx.step("one", lambda: runs.append("one") or len(runs))
        if ctx.attempt == 1:
            gate.wait()
        return result

    storage = make_sqlite(tmp_path)
    storage.open(timeout=1)
    job = House(two, storage=storage).submit(two)
    eventually(lambda: gate.inside)
    storage.close()

    again = make_sqlite(tmp_path)
    again.open(timeout=1)
    house = House(two, storage=again)
    house.take_up()

    assert house.end(job).data["output"] == 1
    assert runs == ["one"]
    again.close()


def test_a_job_that_waited_for_an_answer_asks_again() -> None:
    made: Task = task("asks")(lambda ctx, input: ctx.ask("Which?"))
    house = House(made)
    job = left_behind(house, made, started(1), asked_for("1"))

    second = House(made, storage=house.storage)
    second.take_up()
    second.until(job, lambda e: e.type == "input.requested" and e.seq > 3)
    second.registry.answer(second.row(job), None, "blue")

    assert second.end(job).data["output"] == "blue"


def test_a_task_that_forbids_another_try_ends_as_worker_lost() -> None:
    made = task("once", retry=False)(lambda ctx, input: "done")
    house = House(made)
    begun = left_behind(house, made, started(1), delta("so far"))
    waited = left_behind(house, made)

    House(made, storage=house.storage).take_up()

    error = house.end(begun).data["error"]
    assert (error["code"], error["retryable"]) == ("worker_lost", True)
    assert house.end(begun).data["partial"]["text"] == "so far"
    assert house.end(waited).data["output"] == "done"


def test_a_job_that_is_not_to_start_over_ends_as_worker_lost() -> None:
    made = task("again")(lambda ctx, input: "done")
    house = House(made)
    begun = left_behind(house, made, started(1), delta("so far"), on_break="fail")
    waited = left_behind(house, made, on_break="fail")

    House(made, storage=house.storage).take_up()

    assert house.end(begun).data["error"]["code"] == "worker_lost"
    assert house.end(begun).data["partial"]["text"] == "so far"
    assert house.end(waited).data["output"] == "done"


def test_a_job_that_was_to_be_cancelled_is_cancelled_with_its_reason() -> None:
    made = quick()
    house = House(made)
    job = left_behind(house, made, started(1), cancel_requested("enough"))

    House(made, storage=house.storage).take_up()

    assert house.end(job).type == "job.cancelled"
    assert house.end(job).data["reason"] == "enough"


def test_a_task_that_is_not_there_any_more_fails_its_jobs() -> None:
    made = quick()
    house = House(made)
    job = left_behind(house, made)

    House(storage=house.storage).take_up()

    error = house.end(job).data["error"]
    assert (error["code"], error["retryable"]) == ("unknown_task", True)


def test_an_input_that_is_not_valid_any_more_fails_its_job() -> None:
    class Stricter(BaseModel):
        name: str

    house = House(quick())
    job = left_behind(house, quick(), input={"upto": 3})

    House(task("quick", input=Stricter)(print), storage=house.storage).take_up()

    error = house.end(job).data["error"]
    assert (error["code"], error["errors"][0]["field"]) == ("invalid_input", "input.name")


def test_an_ended_job_is_left_alone() -> None:
    made = quick()
    house = House(made)
    job = left_behind(house, made, completed("before"))

    House(made, storage=house.storage).take_up()

    assert types(house.events(job)) == ["job.queued", "job.completed"]


def test_a_job_that_was_handed_over_goes_on_at_once() -> None:
    made = quick()
    house = House(made)
    attempts = [each for n in range(1, 6) for each in (lost(n), handed_over())]
    job = left_behind(house, made, *attempts)

    second = House(made, storage=house.storage)
    second.take_up()

    assert house.end(job).data["output"] == "done"


def test_jobs_that_are_taken_up_wait_a_minute_for_their_viewers() -> None:
    made, clock = quick(), Clock()
    house = House(made)
    job = left_behind(house, made, on_disconnect="cancel", disconnect_grace_s=30.0)

    second = House(made, storage=house.storage, clock=clock, threads=0)  # it waits
    second.take_up()
    clock.advance(59)
    second.registry.supervisor.cancel_unwatched()
    assert second.row(job).status == "queued"
    clock.advance(2)
    second.registry.supervisor.cancel_unwatched()

    assert second.row(job).status == "cancelled"


# Jobs that may have killed their worker.


def suspects(gate: Gate, count: int) -> tuple[House, Clock, list[str]]:
    """A server that finds jobs whose last attempts were lost."""
    made, clock = held_at(gate), Clock()
    house = House(made, clock=clock)
    attempts = [lost(n + 1) for n in range(SUSPICIOUS)]
    jobs = [left_behind(house, made, *attempts) for _ in range(count)]
    house.take_up()
    return house, clock, jobs


def test_jobs_whose_attempts_were_lost_run_one_after_the_other(gate: Gate) -> None:
    house, clock, jobs = suspects(gate, 3)
    assert house.runner.load().running == 0

    for running in (1, 2, 3):
        house.registry.supervisor.try_suspects()
        house.registry.supervisor.try_suspects()  # too soon for the next one
        eventually(lambda count=running: gate.inside == count)
        clock.advance(TRIAL_S + 0.1)

    assert all(house.data(job, "job.started")[-1]["on_trial"] for job in jobs)


def test_who_has_run_alone_for_a_time_is_acquitted(gate: Gate) -> None:
    house, clock, [job] = suspects(gate, 1)
    house.registry.supervisor.try_suspects()
    eventually(lambda: gate.inside)
    assert house.state(job).recovery.lost_trials == 1

    clock.advance(TRIAL_S + 0.1)
    house.registry.supervisor.try_suspects()

    assert house.state(job).recovery.lost_trials == 0
    gate.open()
    assert house.end(job).data["output"] == "let go"


def test_the_next_suspect_comes_at_once_when_one_has_ended(gate: Gate) -> None:
    house, _, jobs = suspects(gate, 2)
    gate.open()

    for job in reversed(jobs):  # the newest goes first: the older ones went on for a while
        house.registry.supervisor.try_suspects()
        assert house.end(job).data["output"] == "let go"
        eventually(lambda job=job: not house.runner.knows(job))


def test_who_died_on_trial_before_goes_first(gate: Gate) -> None:
    made = held_at(gate)
    house = House(made)
    died = left_behind(house, made, lost(1), lost(2, on_trial=True))
    left_behind(house, made, lost(1), lost(2))
    house.take_up()

    house.registry.supervisor.try_suspects()

    eventually(lambda: gate.inside)
    assert house.runner.knows(died)


def test_where_each_has_a_process_of_its_own_suspects_run_at_once(gate: Gate) -> None:
    made = held_at(gate)
    house = House(made)
    house.runner.isolates = True
    jobs = [left_behind(house, made, lost(1), lost(2)) for _ in range(3)]

    house.take_up()

    eventually(lambda: gate.inside == len(jobs))


def test_a_suspect_is_cancelled_before_its_trial(gate: Gate) -> None:
    house, _, [job] = suspects(gate, 1)

    assert house.registry.cancel(house.row(job), "enough").status == "cancelled"

    house.registry.supervisor.try_suspects()
    assert house.runner.load().running == 0


@pytest.mark.parametrize(
    ("attempts", "ran_alone"),
    [
        ([lost(n + 1, on_trial=True) for n in range(LOST_TRIALS)], True),
        ([each for n in range(LOST_TRIALS) for each in (lost(n + 1), lost_alone())], True),
        ([lost(n + 1) for n in range(LOST_ATTEMPTS)], False),
    ],
    ids=["on trial", "alone", "in all"],
)
def test_a_job_that_loses_its_workers_again_and_again_fails(
    attempts: list[Draft], ran_alone: bool
) -> None:
    made = quick()
    house = House(made)
    job = left_behind(house, made, *attempts)
    second = House(made, storage=house.storage)
    second.take_up()

    second.registry.supervisor.try_suspects()

    error = house.end(job).data["error"]
    assert error["code"] == "worker_lost"
    assert ("alone" in error["detail"]) is ran_alone


def test_a_step_that_completes_clears_a_job() -> None:
    made = quick()
    house = House(made)
    attempts = [each for n in range(30) for each in (lost(n + 1), step(str(n), "completed"))]
    job = left_behind(house, made, *attempts)

    House(made, storage=house.storage).take_up()

    assert house.end(job).data["output"] == "done"


# While the server runs.


def test_a_job_that_nobody_runs_at_two_looks_is_taken_up() -> None:
    made = quick()
    house = House(made)
    job = left_behind(house, made, started(1))

    house.registry.supervisor.adopt_orphans()
    assert types(house.events(job))[-1] == "job.started"
    house.registry.supervisor.adopt_orphans()

    assert house.end(job).data["output"] == "done"


def test_jobs_that_run_or_wait_are_no_orphans(gate: Gate) -> None:
    made = held_at(gate)
    house = House(made, threads=1)
    jobs = [house.submit(made) for _ in range(2)]
    eventually(lambda: gate.inside)

    for _ in range(3):
        house.registry.supervisor.adopt_orphans()
    gate.open()

    for job in jobs:
        house.end(job)
        assert types(house.events(job)).count("job.started") == 1


def test_a_started_registry_takes_up_what_was_left(memory: Any) -> None:
    made = quick()
    house = House(made, storage=memory)
    job = left_behind(house, made, started(1))

    House(made, storage=memory).registry.start()

    assert house.end(job).data["output"] == "done"
