"""The steps of one attempt: its checklist, its kept results, and its progress."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

from streaming.concurrency.stop_signal import StopSignal
from streaming.errors import TaskError
from streaming.events import make
from streaming.events.event import Draft, check_depth, dumps
from streaming.events.halves import Joiner, whole_json
from streaming.events.plain import plain_text
from streaming.events.snapshot import Snapshot
from streaming.events.vocabulary import Json, JsonMapping, JsonObject
from streaming.llm.base import CannotContinue
from streaming.running.emitter import Emitter
from streaming.running.model import Told
from streaming.running.progress import Progress, Reading
from streaming.running.questions import Questions
from streaming.running.returned import drive
from streaming.running.traces import in_span_of_step

P = ParamSpec("P")
T = TypeVar("T")

#: The item of text that belongs to no step.
ANSWER = "answer"
#: Characters of text in one event.
PIECE = 16 << 10
#: Statuses of a step that has not ended.
_OPEN = ("pending", "running")


class Steps:
    """Steps, tools and checkpoints; for the task's thread, except for `skip_open`."""

    def __init__(
        self,
        emitter: Emitter,
        questions: Questions,
        stop: StopSignal,
        state: Snapshot,
        records: Mapping[str, bytes],
        *,
        told: Told,
        kept: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._emitter = emitter
        self._questions = questions
        self._stop = stop
        self._clock = clock
        self._steps = {step["id"]: dict(step) for step in state.steps.values()}
        #: Steps that count towards progress; more may be added while the task runs.
        self._declared = frozenset(self._steps)
        self._records = dict(records)
        done = sum(step["status"] == "completed" for step in self._steps.values())
        self._progress = Progress(len(self._steps), done, clock=clock)
        self._tools = 0
        self._told = told
        self._kept = kept
        self._continues = state.recovery.asked.get("on_break") == "continue"
        self._halves: dict[tuple[str, str], Joiner] = {}
        #: Items of text that the present step has written.
        self._written: set[str] = set()
        #: How many answers this attempt's steps have asked the model for.
        self._answers: dict[str | None, int] = {}
        #: The id of the step that runs, the innermost.
        self.current: str | None = None

    def say(self, text: str, item: str | None = None) -> None:
        """Append to an item of text: by default that of the present step, or `answer`."""
        item = item or self.current or ANSWER
        if self._continues:
            self._written.add(item)
        for piece in _pieces(self._joined("text", item, text)):
            self._emitter.emit(make.text_delta, item, piece)

    def think(self, text: str, item: str | None = None) -> None:
        """Append to the thinking beside an item."""
        item = item or self.current or ANSWER
        for piece in _pieces(self._joined("thinking", item, text)):
            self._emitter.emit(make.reasoning_delta, item, piece)

    def say_rest(self) -> None:
        """Emit a half character that was held back, when nothing more will follow."""
        for (kind, item), joiner in self._halves.items():
            rest = joiner.end()
            if rest and kind == "text":
                self._emitter.emit(make.text_delta, item, rest)

    def _joined(self, kind: str, item: str, text: Any) -> Any:
        """The text without a half character at its end, which is held back for the next piece."""
        key = (kind, item)
        if not isinstance(text, str) or (text.isascii() and key not in self._halves):
            return text
        return self._halves.setdefault(key, Joiner()).add(text)

    def plan(self, steps: Iterable[tuple[str, str]]) -> None:
        """Declare more steps (id, title), pending."""
        fresh = {id: self._new(id, title) for id, title in steps if id not in self._steps}
        total = len(self._steps) + len(fresh)
        for index, step in enumerate(fresh.values(), start=len(self._steps) + 1):
            step["index"] = step["total"] = index
        drafts = [self._draft({**step, **make.PENDING}, total=total) for step in fresh.values()]
        self._steps |= fresh
        self._declared |= fresh.keys()
        self._progress.plan(len(self._declared))
        if drafts:
            self._append(drafts)

    @in_span_of_step
    def run(
        self, id: str, function: Callable[P, object], *args: P.args, **kwargs: P.kwargs
    ) -> Json:
        """Run a step that has no result yet; its result."""
        record = f"step:{id}"
        if record in self._records:
            return json.loads(self._records[record])
        if id not in self._steps:
            step = self._new(id, None)
            self._draft(step, total=1)  # fails here, before anybody relies on it
            step["index"] = step["total"] = len(self._steps) + 1
            self._steps[id] = step
        self._update(id, "running")
        began, outer = self._clock(), self.current
        self.current = id
        try:
            result = self._once_or_again(function, args, kwargs)
            kept = _encode(result)
        except Exception as error:
            detail = error.detail if isinstance(error, TaskError) else type(error).__name__
            self._update(id, "failed", self._clock() - began, plain_text(detail, 1000))
            raise
        finally:
            self.current = outer
        self._written.discard(id)
        records = {record: kept, **self._questions.records()}
        self._update(id, "completed", self._clock() - began, records=records)
        return json.loads(kept)

    def tool(self, name: str, function: Callable[..., T], arguments: JsonMapping) -> T:
        """Call a tool, with its call and its result as events; its error is raised again."""
        self._tools += 1
        began, call = self._clock(), f"call_{self._tools}"
        self._emitter.emit(make.tool_call, call, name, arguments)
        try:
            output = function(**arguments)
        except Exception as error:
            said = plain_text(error, 1000) or type(error).__name__
            self._emitter.emit(make.tool_result, call, self._since(began), error=said)
            raise
        self._emitter.emit(make.tool_result, call, self._since(began), output=output)
        return output

    def checkpoint(self, state: Json) -> None:
        """Keep `state` for a later attempt of the present step."""
        kept = {f"checkpoint:{self.current or ''}": _encode(state), **self._questions.records()}
        self._append([], records=kept)

    def restore(self, default: T) -> T | Json:
        """The last checkpoint of the present step."""
        kept = self._records.get(f"checkpoint:{self.current or ''}")
        return default if kept is None else json.loads(kept)

    def count(
        self, done: float, total: float, message: str | None, *, estimated: bool = False
    ) -> None:
        """Report units of the present step as done; `estimated`: the total is a guess."""
        self._tell(self._progress.count(done, total, message, estimated=estimated))

    def note(self, message: str, more: JsonMapping) -> None:
        """Write a warning to the job's log, with members that snapshots show."""
        self._emitter.emit(make.log, message, **{"level": "warning", **more})

    def called(self, id: str, name: str, arguments: Json) -> None:
        """Emit a tool call that the asker is to run."""
        self._emitter.emit(make.tool_call, id, name, arguments)

    def kept(self) -> str:
        """What an earlier attempt left of the step's answer, if it is the first of the step."""
        number = self._answers[self.current] = self._answers.get(self.current, 0) + 1
        if not self._continues:
            return ""
        record = f"answers:{self.current or ''}"
        if number == 2 and record not in self._records:
            # From here on the item's text comes from several answers, and none can be continued.
            self._append([], records={record: b"2"})
        if number > 1 or record in self._records:
            return ""
        return self._kept.get(self.current or ANSWER, "")

    def skip_open(self) -> list[Draft]:
        """The events that close the checklist: steps that have not ended are skipped."""
        # A copy: another thread ends a task that does not react.
        return skip_open(list(self._steps.values()))

    def _once_or_again(
        self, function: Callable[..., object], args: Sequence[object], kwargs: Mapping[str, object]
    ) -> object:
        """Drive a step; once more from its beginning if its answer cannot be continued."""
        place, said = self._questions.place(), dict(self._told.said)
        outer, self._told.restarts = self._told.restarts, self._continues
        try:
            try:
                return drive(function(*args, **kwargs), self.say, self._stop)
            except CannotContinue as error:
                if not self._told.restarts:
                    raise
                self.note(f"{error.detail}; the step starts over", {})
            self._told.restarts = False
            # As in a later attempt.
            self._questions.go_back(place)
            self._told.said.clear()
            self._told.said.update(said)
            for item in sorted(self._written):
                self._emitter.emit(make.text_reset, item)
            self._written.clear()
            return drive(function(*args, **kwargs), self.say, self._stop)
        finally:
            self._told.restarts = outer

    def _new(self, id: object, title: str | None) -> JsonObject:
        if not isinstance(id, str) or not id:
            raise TaskError(f"a step's id is a string, not {id!r:.100}", code="invalid_output")
        title = title or id.replace("_", " ").capitalize()
        blank = {"id": id, "title": title, "status": "pending", "duration_s": None}
        return {**blank, "index": 0, "total": 0}

    def _draft(self, step: JsonMapping, *, total: int) -> Draft:
        return self._emitter.draft(make.step_updated, step, total=total)

    def _update(
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
        drafts = [make.step_updated(step, total=len(self._steps), detail=detail)]
        if status == "completed" and id in self._declared:
            reading = self._progress.step_completed()
            drafts += [] if reading is None else [_progress_of(reading)]
        self._append(drafts, records=records)

    def _append(self, drafts: list[Draft], records: Mapping[str, bytes] | None = None) -> None:
        self._emitter.append(drafts, records=records)
        self._records.update(records or {})

    def _tell(self, reading: Reading | None) -> None:
        if reading is not None:
            self._emitter.emit(_progress_of, reading)

    def _since(self, began: float) -> float:
        return round(self._clock() - began, 3)


def _progress_of(reading: Reading) -> Draft:
    return make.job_progress(reading.percent, reading.eta_s, reading.basis, reading.message)


def _pieces(text: Any) -> Sequence[str]:
    """The text as events carry it: readers of lines stop at half a megabyte and less."""
    if not isinstance(text, str) or len(text) <= PIECE:
        return (text,) if text else ()  # anything but text fails where its event is made
    return [text[at : at + PIECE] for at in range(0, len(text), PIECE)]


def _encode(value: object) -> bytes:
    try:
        try:
            encoded = dumps(value)
        except UnicodeEncodeError:
            encoded = dumps(whole_json(value))
        check_depth(encoded)
    except (TypeError, ValueError) as error:
        raise TaskError(
            f"a step's result or a checkpoint must be JSON: {plain_text(error, 400)}",
            code="invalid_output",
        ) from error
    return encoded


def skip_open(steps: Sequence[JsonMapping]) -> list[Draft]:
    """The events that close a checklist: those of its steps that have not ended are skipped."""
    open_steps = [step for step in steps if step["status"] in _OPEN]
    return [make.step_updated(step, total=len(steps), status="skipped") for step in open_steps]
