"""A task run for real: on a log in memory, with the simulated model, in the test's own thread."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from streaming.concurrency.stop_signal import StopSignal
from streaming.errors import Interrupted, Stop
from streaming.events.event import Draft, Event
from streaming.events.snapshot import Snapshot
from streaming.llm.base import Model
from streaming.llm.simulated import SimulatedModel
from streaming.running.context import AttemptInputs
from streaming.running.driver import Driver
from streaming.running.task import Task
from streaming.storage.ids import new_id
from streaming.storage.memory import MemoryLog, MemoryStorage
from streaming.storage.rows import JobRow, Submission
from streaming.storage.snapshots import Snapshots

OWNER = "somebody"


class WatchedStorage(MemoryStorage):
    """One whose log is watched."""

    def __init__(self) -> None:
        super().__init__()
        self.log = self.watched = WatchedLog(self._jobs)


class WatchedLog(MemoryLog):
    """Does something once the log has so many events."""

    at: int | None = None
    stopped_at: int | None = None

    def watch(self, at: int | None, call: Callable[[], object]) -> None:
        self.at, self.call = at, call

    def append(self, job: str, drafts: Any, **options: Any) -> JobRow:
        row = super().append(job, drafts, **options)
        if self.at is not None and row.seq >= self.at:
            self.at, self.stopped_at = None, row.seq
            self.call()
        return row


class Bench:
    """One job of a task. Each `run` is an attempt at it."""

    def __init__(self, task: Task, data: dict[str, Any], **options: Any) -> None:
        self.storage = WatchedStorage()
        self.log = self.storage.watched
        self.job = new_id("job_")
        self._task = task
        self._value = task.validate(data)
        self._attempts = 0
        asked = {
            "position": 0,
            "task": task.name,
            "input": data,
            "metadata": {},
            "timeout_s": 60,
            **options,
        }
        queued = Draft("job.queued", asked)
        self.storage.index.submit(Submission(self.job, OWNER, task.name, queued))

    def run(
        self,
        *,
        stop: StopSignal | None = None,
        model: Model | None = None,
        stop_at: int | None = None,
        reason: Stop | None = None,
        basic: bool = False,
    ) -> Any:
        """The task's output, or whatever it raises. At `stop_at` events it is told to stop."""
        stop = stop or StopSignal()
        driver = self._start(stop, model or SimulatedModel())
        self.context = driver.context
        self.log.watch(stop_at, lambda: stop.set(reason or Interrupted("the server goes down")))
        function = self._task.basic if basic else self._task.function
        assert function is not None
        return driver.run(function, self._value, {})

    def feed(self, data: Any) -> None:
        """What a client sends to the running job."""
        received = Draft("input.received", {"request": None, "data": data})
        self.storage.log.append(self.job, [received])

    def answer(self, request: str, data: Any) -> None:
        """The answer to what the job has asked for."""
        received = Draft("input.received", {"request": request, "data": data})
        self.storage.log.append(self.job, [received])

    def upload(
        self, file: str, content: bytes, *, owner: str = OWNER, name: str = "data.bin"
    ) -> None:
        """A file as an upload leaves it."""
        meta = {"owner": owner, "id": file, "name": name, "media_type": "text/plain"}
        meta |= {"size": len(content)}  # type: ignore[dict-item]
        self.storage.blobs.put(f"{file}/meta.json", [json.dumps(meta).encode()])
        self.storage.blobs.put(f"{file}/content", [content])

    def artifact(self, name: str) -> bytes:
        return self.storage.blobs.open(f"{self.job}/{name}").read()

    @property
    def events(self) -> list[Event]:
        return list(self.storage.log.page(self.job, 0, 100_000).events)

    def data(self, kind: str) -> list[dict[str, Any]]:
        """The data of all events of a type."""
        return [event.data for event in self.events if event.type == kind]

    @property
    def state(self) -> Snapshot:
        return Snapshots(self.storage.log, self.storage.index).state(self.job)

    def _start(self, stop: StopSignal, model: Model) -> Driver:
        """Another attempt, begun as a runner does it."""
        self._attempts += 1
        kept = {item: self.state.text_of(item) for item in self.state.unfinished_items()}
        keeps = self.state.recovery.asked.get("on_break") == "continue"
        drafts = [Draft("job.started", {"attempt": self._attempts, "worker": "test"})]
        drafts += [Draft("text.reset", {"item": item}) for item in self.state.unfinished_items()]
        drafts += [
            Draft("step.updated", self._pending(number))
            for number, step in enumerate(self._task.steps)
            if self.state.steps.get(step.id, {}).get("status") != "completed"
        ]
        self.storage.log.append(self.job, drafts, attempt=self._attempts)
        given = AttemptInputs(
            job=self.job,
            owner=OWNER,
            attempt=self._attempts,
            log=self.storage.log,
            blobs=self.storage.blobs,
            model=model,
            stop=stop,
            state=self.state,
            records=self.storage.log.records(self.job),
            max_event_bytes=1 << 20,
            base_url="/v1",
            leases=self.storage.leases,
            kept=kept if keeps else {},
        )
        return Driver(given)

    def _pending(self, number: int) -> dict[str, Any]:
        step = self._task.steps[number]
        shown = {"id": step.id, "title": step.title, "index": number + 1}
        total = len(self._task.steps)
        return {**shown, "total": total, "status": "pending", "duration_s": None, "detail": None}


@pytest.fixture
def bench() -> Callable[..., Bench]:
    """`bench(task, **input)`: a job of the task."""
    return lambda task, **data: Bench(task, data)
