"""A task run for real: on a log in memory, with the simulated model, in the test's own thread."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from streaming.context import JobContext, Work
from streaming.events import Draft, Event, new_id
from streaming.llm.base import Model
from streaming.llm.simulated import SimulatedModel
from streaming.snapshot import Snapshot, Snapshots
from streaming.stopping import StopSignal
from streaming.storage.base import Submission
from streaming.storage.memory import MemoryStorage
from streaming.tasks.registry import Task

OWNER = "somebody"


class Bench:
    """One job of a task. Each `run` is an attempt at it."""

    def __init__(self, task: Task, data: dict[str, Any]) -> None:
        self.storage = MemoryStorage()
        self.job = new_id("job_")
        self._task = task
        self._value = task.validate(data)
        self._attempts = 0
        asked = {"position": 0, "task": task.name, "input": data, "metadata": {}, "timeout_s": 60}
        queued = Draft("job.queued", asked)
        self.storage.index.submit(Submission(self.job, OWNER, task.name, queued))

    def run(self, *, stop: StopSignal | None = None, model: Model | None = None) -> Any:
        """The task's output, or whatever it raises."""
        context = self._start(stop or StopSignal(), model or SimulatedModel())
        return context.run(self._task(context, self._value))

    def upload(self, file: str, content: bytes, *, owner: str = OWNER) -> None:
        """A file as an upload leaves it."""
        self.storage.blobs.put(f"{file}/meta.json", [json.dumps({"owner": owner}).encode()])
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

    def _start(self, stop: StopSignal, model: Model) -> JobContext:
        """Another attempt, begun as a runner does it."""
        self._attempts += 1
        drafts = [Draft("job.started", {"attempt": self._attempts, "worker": "test"})]
        drafts += [Draft("text.reset", {"item": item}) for item in self.state.unfinished_items()]
        drafts += [
            Draft("step.updated", self._pending(number)) for number in range(len(self._task.steps))
        ]
        self.storage.log.append(self.job, drafts, attempt=self._attempts)
        work = Work(
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
        )
        return JobContext(work)

    def _pending(self, number: int) -> dict[str, Any]:
        step = self._task.steps[number]
        shown = {"id": step.id, "title": step.title, "index": number + 1}
        total = len(self._task.steps)
        return {**shown, "total": total, "status": "pending", "duration_s": None, "detail": None}


@pytest.fixture
def bench() -> Callable[..., Bench]:
    """`bench(task, **input)`: a job of the task."""
    return lambda task, **data: Bench(task, data)
