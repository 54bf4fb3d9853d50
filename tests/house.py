"""A server without its web side: storage, tasks, runner and registry, in the test's process."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from streaming.events.event import Event
from streaming.events.snapshot import Snapshot
from streaming.jobs.registry import JobRegistry
from streaming.jobs.request import Request
from streaming.llm.simulated import SimulatedModel
from streaming.running.attempt import Attempt
from streaming.running.dependencies import Dependencies
from streaming.running.task import Task, TaskRegistry
from streaming.running.threads import ThreadRunner
from streaming.storage.base import Storage
from streaming.storage.memory import MemoryStorage
from streaming.storage.rows import JobRow
from streaming.storage.snapshots import Snapshots
from streaming.storage.viewers import LocalViewers
from streaming.watching.pressure import TOP
from tests.jobs import OWNER, events_of, new_job
from tests.threads import TIMEOUT_S

MAX_EVENT_BYTES = 64 * 1024


class House:
    """Another one on the same storage is the server after a restart."""

    def __init__(
        self,
        *tasks: Task,
        storage: Storage | None = None,
        threads: int = 4,
        queue: int = 10,
        stop_grace_s: float = 5.0,
        retention_s: float = 1000.0,
        level: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.storage = storage or MemoryStorage()
        self.storage.viewers = LocalViewers(clock=clock)
        self.snapshots = Snapshots(self.storage.log, self.storage.index)
        self.tasks = TaskRegistry(tasks)
        self._clock = clock
        self.dependencies = Dependencies(
            storage=self.storage,
            snapshots=self.snapshots,
            tasks=self.tasks,
            model=SimulatedModel(),
            max_event_bytes=MAX_EVENT_BYTES,
            base_url="/v1",
            level=level,
        )
        self.runner = ThreadRunner(
            self.attempt, threads=threads, greenlets=4, queue=queue, stop_grace_s=stop_grace_s
        )
        self.registry = JobRegistry(
            storage=self.storage,
            snapshots=self.snapshots,
            tasks=self.tasks,
            runner=self.runner,
            retention_s=retention_s,
            max_event_bytes=MAX_EVENT_BYTES,
            overloaded=lambda: level() >= TOP,
            clock=clock,
        )

    def attempt(
        self, job: str, on_trial: bool = False, *, snapshots: Snapshots | None = None
    ) -> Attempt:
        """A try at the job, not yet begun; on other folds, where some are given."""
        dependencies = replace(self.dependencies, snapshots=snapshots or self.snapshots)
        return Attempt(job, dependencies, on_trial=on_trial, clock=self._clock)

    def submit(self, task: Task | str, input: Any = None, **options: Any) -> str:
        """The id of a job that has been given to the runner."""
        name = task.name if isinstance(task, Task) else task
        row, _ = self.registry.submit(OWNER, Request(name, input or {}, **options))
        return row.id

    def request(self, task: str, input: Any = None, **options: Any) -> Request:
        """What a client asks for."""
        return Request(task, input or {}, **options)

    def store(self, task: Task, input: Any = None, **asked: Any) -> str:
        """The id of a job that is accepted, and that nobody runs yet."""
        return new_job(self.storage, task=task.name, input=input or {}, **asked)

    def run(self, task: Task, input: Any = None, **asked: Any) -> str:
        """The id of a job whose first attempt has run in this thread."""
        job = self.store(task, input, **asked)
        self.attempt(job).run()
        return job

    def take_up(self) -> None:
        """What a server does at its start with the jobs that go on."""
        self.registry.recover()

    def row(self, job: str) -> JobRow:
        row = self.storage.index.get(job)
        assert row is not None
        return row

    def state(self, job: str) -> Snapshot:
        return self.snapshots.state(job)

    def events(self, job: str) -> list[Event]:
        return events_of(self.storage, job)

    def data(self, job: str, kind: str) -> list[dict[str, Any]]:
        """The data of all events of a type."""
        return [event.data for event in self.events(job) if event.type == kind]

    def end(self, job: str) -> Event:
        """The terminal event, waited for."""
        return self.until(job, lambda event: event.terminal)

    def until(self, job: str, wanted: Callable[[Event], bool]) -> Event:
        """The first event that is wanted, waited for."""
        after, over = 0, time.monotonic() + TIMEOUT_S
        while time.monotonic() < over:
            page = self.storage.log.read(job, after, timeout=TIMEOUT_S)
            for event in page.events:
                after = event.seq
                if wanted(event):
                    return event
            assert not page.closed or page.events, [event.type for event in self.events(job)]
        raise AssertionError(f"not within {TIMEOUT_S} s: {[e.type for e in self.events(job)]}")

    def until_type(self, job: str, kind: str) -> Event:
        return self.until(job, lambda event: event.type == kind)
