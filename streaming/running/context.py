"""JobContext: all that a task may do. Whatever it does is an event in the job's log."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import jsonschema
from pydantic import BaseModel

from streaming.concurrency.stop_signal import StopSignal
from streaming.concurrency.waking import make_waker
from streaming.errors import TaskError, Unexpected
from streaming.events.event import Draft, dumps
from streaming.events.snapshot import Snapshot
from streaming.events.vocabulary import Json
from streaming.llm.base import Model
from streaming.running import compute as child
from streaming.running.emitter import Budget, Posts
from streaming.running.leases import Holding
from streaming.running.model import BoundModel
from streaming.running.progress import Progress, Reading
from streaming.running.uploads import Uploads
from streaming.storage.base import Blobs, EventLog, Leases
from streaming.storage.rows import Expect, JobRow

#: The item of text that belongs to no step.
ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Work:
    """What one attempt works on and with."""

    job: str
    owner: str
    attempt: int
    log: EventLog
    blobs: Blobs
    model: Model
    stop: StopSignal
    #: The state of the job when the attempt began.
    state: Snapshot
    records: Mapping[str, bytes]
    max_event_bytes: int
    #: What the path of an artifact starts with.
    base_url: str
    leases: Leases
    #: Value and unit of this service's own figures, by name.
    figures: Callable[[], Mapping[str, tuple[float, str]]] = dict
    budget: Budget = field(default_factory=Budget)


class JobContext:
    """A task's way to the world. Every call raises the stop when the job is to end."""

    def __init__(self, work: Work, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._work = work
        self._clock = clock
        self._steps = {step["id"]: dict(step) for step in work.state.steps.values()}
        #: Steps that count for the progress; more may turn up while it runs.
        self._declared = frozenset(self._steps)
        self._records = dict(work.records)
        done = sum(step["status"] == "completed" for step in self._steps.values())
        self._progress = Progress(len(self._steps), done, clock=clock)
        self._step: str | None = None
        self._asked: dict[str, int] = {}
        #: Up to here the log was looked through for what clients sent unasked.
        self._fed = int(self._records.get(_FED, b"0"))
        self._waited_s = 0.0
        self._waiting_since: float | None = None
        self._posts = Posts(
            work.log,
            work.job,
            attempt=work.attempt,
            stop=work.stop,
            max_event_bytes=work.max_event_bytes,
            spend=work.budget.spend,
        )
        self._emit = self._posts.post
        self._uploads = Uploads(work.blobs, work.owner)
        self.usage: dict[str, Any] = {}
        self.llm = BoundModel(work.model, work.stop, self, self._emit)

    @property
    def job(self) -> str:
        """The job's id."""
        return self._work.job

    @property
    def attempt(self) -> int:
        """Which try at the job this is, from 1."""
        return self._work.attempt

    @property
    def cancelled(self) -> bool:
        """Whether the task is to end, for code that must not be unwound."""
        return self._work.stop.reason is not None

    # -- saying

    def text(self, text: str, *, item: str | None = None) -> None:
        """Append to an item of text: by default the present step's, or `answer`."""
        if text:
            self._emit("text.delta", {"item": item or self._step or ANSWER, "text": text})

    def reasoning(self, text: str, *, item: str | None = None) -> None:
        """Append to the thinking, apart from the answer."""
        if text:
            self._emit("reasoning.delta", {"item": item or self._step or ANSWER, "text": text})

    def progress(self, done: float, total: float, message: str | None = None) -> None:
        """`done` of `total` units of the present step; told as often as it is worth."""
        self.raise_if_cancelled()
        self._tell(self._progress.count(done, total, message))

    def metric(
        self,
        name: str,
        value: float,
        *,
        unit: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """A figure; the newest of each name and labels counts."""
        data = {"name": name, "value": value, "unit": unit, "labels": dict(labels or {})}
        self._emit("metric", data)

    def alert(
        self,
        rule: str,
        message: str,
        *,
        severity: str = "warning",
        value: Json = None,
        state: str = "firing",
    ) -> None:
        """Raise an alert, or with `state="resolved"` end it."""
        data = {"severity": severity, "rule": rule, "message": message, "value": value}
        self._emit("alert", {**data, "state": state})

    def log(self, message: str, *, level: str = "info") -> None:
        """A line for whoever debugs the job."""
        self._emit("log", {"level": level, "message": message})

    def artifact(self, name: str, data: bytes | str | Iterable[bytes], *, media_type: str) -> str:
        """Store a file of the job's; its path. Made again, the newest wins."""
        check_name(name)
        self.raise_if_cancelled()
        if isinstance(data, str):
            data = data.encode()
            if media_type.startswith("text/") and "charset" not in media_type:
                media_type += "; charset=utf-8"
        chunks = [data] if isinstance(data, bytes) else data
        size = self._work.blobs.put(f"{self.job}/{name}", chunks)
        self._work.budget.spend(0, size)
        href = f"{self._work.base_url}/jobs/{self.job}/artifacts/{name}"
        shown = {"name": name, "media_type": media_type, "size": size, "href": href}
        self._emit("artifact", shown)
        return href

    def degrade(self, why: str) -> None:
        """Mark the job's result as less than what was asked for; the snapshot shows it."""
        self._emit("log", {"level": "warning", "message": why, "degraded": True})

    # -- doing

    def plan(self, steps: Iterable[tuple[str, str]]) -> None:
        """Show more steps (id, title) as pending: for tasks that learn from their input what to do.

        They count for the progress like those that the task declares.
        """
        fresh = {id: title for id, title in steps if id not in self._steps}
        for id, title in fresh.items():
            self._declare(id, title)
        self._declared |= fresh.keys()
        self._progress.plan(len(self._declared))
        total = len(self._steps)
        drafts = [
            Draft("step.updated", {**self._steps[id], "total": total, **_PENDING}) for id in fresh
        ]
        if drafts:
            self._append(drafts)

    def step(self, id: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a step once over all attempts; its result (JSON) is kept and given again.

        A generator's strings are the step's text, its return value is the result.
        """
        record = f"step:{id}"
        if record in self._records:
            return json.loads(self._records[record])
        self._declare(id)
        self._update_step(id, "running")
        began, outer = self._clock(), self._step
        self._step = id
        try:
            result = self._stream(function(*args, **kwargs))
            kept = self._encode(result)
        except Exception as error:
            detail = error.detail if isinstance(error, TaskError) else type(error).__name__
            self._update_step(id, "failed", self._clock() - began, detail)
            raise
        finally:
            self._step = outer
        records = {record: kept, **self._taken_in()}
        self._update_step(id, "completed", self._clock() - began, records=records)
        return json.loads(kept)

    def tool(self, name: str, function: Callable[..., Any], **arguments: Any) -> Any:
        """Call a tool, with its call and its result as events; its error is raised again."""
        began, call = self._clock(), f"call_{self._count('tool')}"
        self._emit("tool.call", {"id": call, "name": name, "arguments": arguments})
        try:
            output = function(**arguments)
        except Exception as error:
            failed = {"id": call, "error": str(error) or type(error).__name__}
            self._emit("tool.result", {**failed, "duration_s": round(self._clock() - began, 3)})
            raise
        duration_s = round(self._clock() - began, 3)
        self._emit("tool.result", {"id": call, "output": output, "duration_s": duration_s})
        return output

    def ask(
        self,
        prompt: str,
        *,
        schema: type[BaseModel] | Mapping[str, Json] | None = None,
        timeout_s: float | None = None,
    ) -> Any:
        """Ask a person, and wait for the answer; the job is `waiting_for_input` meanwhile.

        `schema` (a pydantic model or JSON Schema) is checked before an answer is taken. Asked
        again by a later attempt, a question that was answered is not put again. `TimeoutError`
        after `timeout_s`.
        """
        number = self._count(f"ask:{self._step}")
        request = str(number) if self._step is None else f"{self._step}.{number}"
        model = schema if isinstance(schema, type) else None
        shape = model.model_json_schema() if model is not None else schema
        if shape is not None:
            _check_schema(shape)
        if request in self._work.state.unanswered:
            raise TimeoutError(_NOBODY)
        if request not in self._work.state.answers:
            row = self._append(
                [Draft("input.requested", {"request": request, "prompt": prompt, "schema": shape})]
            )
            with self._standing_still():
                answer = self._await_answer(request, row.seq, timeout_s)
            self._work.state.answers[request] = answer
        answer = self._work.state.answers[request]
        return answer if model is None else model.model_validate(answer)

    def inputs(self, timeout_s: float | None = None) -> Iterator[Any]:
        """What clients send to the running job, as it comes; ends after `timeout_s` of quiet.

        For tasks that say `takes_input`. What was taken in before the last step that finished, or
        the last checkpoint, is not given to a later attempt again.
        """
        while True:
            try:
                yield self._await_input(None, self._fed, timeout_s)
            except TimeoutError:
                return

    def take_input(self) -> Any:
        """What a client has sent to the running job, if anything; else None, at once."""
        self.raise_if_cancelled()
        while True:
            page = self._work.log.read(self.job, self._fed)
            for event in page.events:
                self._fed = event.seq
                if event.type == "input.received" and event.data.get("request") is None:
                    return event.data["data"]
            if not page.events:
                return None

    def checkpoint(self, state: Json) -> None:
        """Keep `state` for a later attempt of the present step; see `restore`."""
        kept = {f"checkpoint:{self._step or ''}": self._encode(state), **self._taken_in()}
        self._append([], records=kept)

    def restore(self, default: Any = None) -> Any:
        """The last checkpoint of the present step, of this attempt or an earlier one."""
        kept = self._records.get(f"checkpoint:{self._step or ''}")
        return default if kept is None else json.loads(kept)

    def compute(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run pure-Python computing in a child process, where it delays no stream.

        Of a generator function it gives a generator: what it yields, and its return value.
        """
        self.raise_if_cancelled()
        return child.compute(self._work.stop, function, *args, **kwargs)

    def file_info(self, file: str) -> dict[str, Json]:
        """`name`, `media_type` and `size` of an upload; `TaskError` when the owner has none."""
        return self._uploads.info(file)

    def open_file(self, file: str) -> IO[bytes]:
        """An uploaded file of the job's owner; `TaskError` when there is none."""
        return self._uploads.open(file)

    def file_path(self, file: str) -> AbstractContextManager[Path]:
        """An uploaded file on this machine's disk, for child processes; not to be changed."""
        return self._uploads.path(file)

    def service_figures(self) -> Mapping[str, tuple[float, str]]:
        """Value and unit of this service's own figures, by name: streams, queue, and so on."""
        return self._work.figures()

    # -- waiting and stopping

    def sleep(self, seconds: float) -> None:
        """Sleep; a cancel wakes it."""
        self._work.stop.sleep(seconds)

    def raise_if_cancelled(self) -> None:
        """Raise the stop when the job is to end: for loops that emit nothing."""
        self._work.stop.check()

    # -- for the runner

    @contextlib.contextmanager
    def leased(self, needs: Mapping[str, int]) -> Iterator[None]:
        """Hold the leases of a task within the block, waiting for them in order first."""
        holding = Holding(self._work.leases, self.job, needs, self._tell_leases)
        try:
            with self._standing_still():
                holding.acquire(self._work.stop)
            yield
        finally:
            holding.release()

    def run(self, result: Any) -> Any:
        """Drive what a task's function returned: text of generators, awaiting of coroutines."""
        return self._stream(result)

    def settle(self) -> None:
        """Wait until all that was said is committed; raises what an append raised."""
        self._posts.settle()

    def waited_s(self) -> float:
        """Seconds that the task has waited for people: they are not running time."""
        since = self._waiting_since
        return self._waited_s + (0.0 if since is None else self._clock() - since)

    def skip_open(self) -> list[Draft]:
        """The events that close the checklist: steps that have not ended are skipped."""
        # Of a copy: another thread ends a task that does not listen.
        open_steps = [step for step in list(self._steps.values()) if step["status"] in _OPEN]
        return [Draft("step.updated", {**step, "status": "skipped"}) for step in open_steps]

    # -- private

    def _stream(self, result: Any) -> Any:
        if inspect.isgenerator(result):
            with contextlib.closing(result):
                while True:
                    try:
                        self._piece(next(result))
                    except StopIteration as end:
                        return end.value
        if inspect.iscoroutine(result) or inspect.isasyncgen(result):
            try:
                return asyncio.run(self._drive(result))
            except asyncio.CancelledError:
                self.raise_if_cancelled()
                raise TaskError("the task cancelled itself") from None
        return result

    async def _drive(self, result: Any) -> Any:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        with self._work.stop.closing(lambda: loop.call_soon_threadsafe(task.cancel)):
            if inspect.iscoroutine(result):
                return await result
            async for piece in result:
                self._piece(piece)
        return None

    def _piece(self, piece: Any) -> None:
        if not isinstance(piece, str):
            raise TaskError(f"a task yields str, not {type(piece).__name__}", code="invalid_output")
        self.text(piece)

    def _taken_in(self) -> dict[str, bytes]:
        return {_FED: str(self._fed).encode()} if self._fed else {}

    def _declare(self, id: str, title: str | None = None) -> None:
        if id not in self._steps:
            total = len(self._steps) + 1
            title = title or id.replace("_", " ").capitalize()
            step = {"id": id, "index": total, "total": total, "title": title, "status": "pending"}
            self._steps[id] = step

    def _update_step(
        self,
        id: str,
        status: str,
        duration_s: float | None = None,
        detail: str | None = None,
        records: Mapping[str, bytes] | None = None,
    ) -> None:
        step = self._steps[id]
        rounded = None if duration_s is None else round(duration_s, 3)
        step |= {"total": len(self._steps), "status": status, "duration_s": rounded}
        self._append([Draft("step.updated", {**step, "detail": detail})], records=records)
        if status == "completed" and id in self._declared:
            self._tell(self._progress.step_completed())

    def _tell(self, reading: Reading | None) -> None:
        if reading is not None:
            self._emit("job.progress", reading.data())

    @contextlib.contextmanager
    def _standing_still(self) -> Iterator[None]:
        self._waiting_since = self._clock()
        try:
            yield
        finally:
            self._waited_s, self._waiting_since = self.waited_s(), None

    def _count(self, what: str) -> int:
        self._asked[what] = number = self._asked.get(what, 0) + 1
        return number

    def _tell_leases(self, message: str, leases: list[dict[str, Json]]) -> None:
        self._emit("log", {"level": "info", "message": message, "leases": leases})

    def _await_answer(self, request: str, after: int, timeout_s: float | None) -> Json:
        try:
            return self._await_input(request, after, timeout_s)
        except TimeoutError:
            over = {"request": request, "data": None, "timed_out": True}
            expect = {"input_request.request": (request,)}
            try:
                self._append([Draft("input.received", over)], expect=expect)
            except Unexpected:  # somebody was just in time
                return self._await_input(request, after, TICK_S)
            raise

    def _await_input(self, request: str | None, after: int, timeout_s: float | None) -> Json:
        """The data of the next `input.received` behind `after` that answers `request`."""
        until = None if timeout_s is None else self._clock() + timeout_s
        waker = make_waker()
        with self._work.stop.closing(waker.wake):
            while True:
                self.raise_if_cancelled()
                left = 3600.0 if until is None else until - self._clock()
                if left <= 0:
                    raise TimeoutError(_NOBODY)
                page = self._work.log.read(self.job, after, timeout=min(left, 60.0), waker=waker)
                for event in page.events:
                    after = event.seq
                    self._fed = after if request is None else self._fed
                    if event.type == "input.received" and event.data.get("request") == request:
                        return event.data["data"]

    def _append(
        self,
        drafts: Sequence[Draft],
        records: Mapping[str, bytes] | None = None,
        expect: Expect | None = None,
    ) -> JobRow:
        row = self._posts.append(drafts, records=records, expect=expect)
        self._records.update(records or {})
        return row

    def _encode(self, value: Json) -> bytes:
        try:
            return dumps(value)
        except (TypeError, ValueError) as error:
            raise TaskError(
                f"a step's result or a checkpoint must be JSON: {error}", code="invalid_output"
            ) from error


_NOBODY = "nobody has answered in time"
#: Seconds to read what is in the log already.
TICK_S = 5.0
#: The record of how far the log was looked through for input.
_FED = "fed"
#: What an event says of a step that has not begun.
_PENDING = {"status": "pending", "duration_s": None, "detail": None}
#: A step that has not come to an end.
_OPEN = ("pending", "running")


def _check_schema(schema: Any) -> None:
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise TaskError(f"not a JSON Schema: {error.message}", code="invalid_schema") from error


def check_name(name: str) -> None:
    """`TaskError` unless `name` may name an artifact."""
    allowed = all(char.isascii() and (char.isalnum() or char in "._-") for char in name)
    if not allowed or not 1 <= len(name) <= 100 or name.startswith("."):
        raise TaskError(
            f"artifact name {name!r}: 1-100 of A-Z a-z 0-9 . _ - and no leading dot",
            code="invalid_artifact_name",
        )
