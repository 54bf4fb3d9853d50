"""A job's events as moments of an answer: what is said, thought, called, and how it ends.

Works for every task: for the upstream model's answer as for a task of the app's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from streaming.events.event import Event
from streaming.events.vocabulary import DELTAS, TERMINAL, Json, JsonMapping


@dataclass(frozen=True, slots=True)
class Asked:
    """The job was accepted: `data` of job.queued."""

    data: JsonMapping
    at: str


@dataclass(frozen=True, slots=True)
class Started:
    """An attempt began."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer."""

    text: str
    item: str


@dataclass(frozen=True, slots=True)
class Thought:
    """A piece of the thinking, apart from the answer."""

    text: str
    item: str


@dataclass(frozen=True, slots=True)
class Call:
    """A piece of a call that whoever asked is to run; `is_first` has its id and name."""

    index: int
    id: str
    name: str
    #: What is added to its arguments (JSON as the model writes it).
    arguments: str
    is_first: bool


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the task: `status` is running, completed, failed or skipped."""

    id: str
    index: int
    total: int
    title: str
    status: str

    @property
    def line(self) -> str:
        """It, as a line of text."""
        return f"[{self.index}/{self.total}] {self.title}\n"


@dataclass(frozen=True, slots=True)
class Used:
    """A tool that the task itself uses."""

    id: str
    name: str
    arguments: Json


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it: `error` where it failed."""

    id: str
    output: Json
    error: str | None


@dataclass(frozen=True, slots=True)
class Question:
    """The task asks a person."""

    request: str
    prompt: str
    schema: Json


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is."""

    percent: float
    message: str


@dataclass(frozen=True, slots=True)
class Restarted:
    """What was said of an item (`CALLS`: all calls) is void: another attempt says it anew."""

    item: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of the job: `status` is completed, failed or cancelled."""

    status: str
    #: stop, length, tool_calls, filtered, refused or error.
    finish: str = "stop"
    usage: JsonMapping = field(default_factory=dict)
    #: The problem object of a job that failed.
    error: JsonMapping = field(default_factory=dict)
    output: Json = None
    reason: str = ""
    at: str = ""


Moment = (
    Asked
    | Started
    | Text
    | Thought
    | Call
    | Step
    | Used
    | Result
    | Question
    | Progress
    | Restarted
    | Ended
)
#: Stands for an answer's calls, where others name an item of text.
CALLS = ""


class _Delta(msgspec.Struct):
    text: str
    item: str


class _Envelope(msgspec.Struct):
    """Of a delta, as nearly every event is: nothing else of it is looked at."""

    data: _Delta


_decode = msgspec.json.Decoder(_Envelope).decode


class Reading:
    """Takes a job's events in order, from its first; gives the moments of each."""

    def __init__(self) -> None:
        #: Items with text, and ids of calls, that no restart has made void.
        self._texts: set[str] = set()
        self._calls: dict[int, str] = {}

    def take(self, event: Event) -> list[Moment]:
        """The moments of the next event; none for what says nothing about an answer."""
        kind = event.type
        if kind in DELTAS:
            delta = _decode(event.json).data
            if kind == "reasoning.delta":
                return [Thought(delta.text, delta.item)]
            self._texts.add(delta.item)
            return [Text(delta.text, delta.item)]
        envelope = event.envelope
        data = envelope["data"]
        if kind in TERMINAL:
            return [_ended(TERMINAL[kind], data, envelope["at"])]
        if kind == "job.queued":
            return [Asked(data, envelope["at"])]
        return list(self._other(kind, data))

    def _other(self, kind: str, data: JsonMapping) -> Iterable[Moment]:
        if kind == "log" and "call" in data:
            yield self._call(data["call"])
        elif kind == "job.started":
            yield from self._started(data["attempt"])
        elif kind == "text.reset":
            if data["item"] in self._texts:
                self._texts.remove(data["item"])
                yield Restarted(data["item"])
        elif kind == "step.updated" and data["status"] != "pending":
            title = data.get("title") or data["id"]
            index, total = data.get("index") or 0, data.get("total") or 0
            yield Step(data["id"], index, total, title, data["status"])
        elif kind == "tool.call" and data["id"] not in self._calls.values():
            yield Used(data["id"], data["name"], data.get("arguments"))
        elif kind == "tool.result":
            yield Result(data["id"], data.get("output"), data.get("error"))
        elif kind == "input.requested":
            yield Question(data["request"], data["prompt"], data.get("schema"))
        elif kind == "job.progress":
            yield Progress(data.get("percent") or 0, data.get("message") or "")

    def _call(self, data: JsonMapping) -> Call:
        index = data["index"]
        is_first = index not in self._calls
        self._calls.setdefault(index, data["id"])
        return Call(index, self._calls[index], data["name"], data["arguments"], is_first)

    def _started(self, attempt: int) -> Iterable[Moment]:
        if attempt > 1 and self._calls:  # a call's arguments would be there twice
            self._calls = {}
            yield Restarted(CALLS)
        yield Started(attempt)


def _ended(status: str, data: JsonMapping, at: str) -> Ended:
    output = data.get("output")
    known = output if isinstance(output, dict) else {}
    finish = known.get("finish_reason") or "stop"
    if known.get("cut") and finish == "stop":
        finish = "length"
    return Ended(
        status,
        finish=str(finish),
        usage=data.get("usage") or {},
        error=data.get("error") or {},
        output=output,
        reason=str(data.get("reason") or ""),
        at=at,
    )


class Whole:
    """A whole answer: of several attempts, what the last one said."""

    def __init__(self) -> None:
        self._reading = Reading()
        self._texts: dict[str, list[str]] = {}
        self._thoughts: list[str] = []
        self.calls: list[dict[str, str]] = []
        self.ended: Ended | None = None

    @property
    def done(self) -> bool:
        return self.ended is not None

    @property
    def text(self) -> str:
        return "".join("".join(pieces) for pieces in self._texts.values())

    @property
    def thoughts(self) -> str:
        return "".join(self._thoughts)

    def take(self, event: Event) -> None:
        """The next event."""
        for moment in self._reading.take(event):
            self.add(moment)

    def add(self, moment: Moment) -> None:
        """The next moment."""
        if isinstance(moment, Text):
            self._texts.setdefault(moment.item, []).append(moment.text)
        elif isinstance(moment, Thought):
            self._thoughts.append(moment.text)
        elif isinstance(moment, Step) and moment.status == "running":
            self._thoughts.append(moment.line)
        elif isinstance(moment, Call):
            self._call(moment)
        elif isinstance(moment, Restarted) and moment.item == CALLS:
            self.calls = []
        elif isinstance(moment, Restarted):
            self._texts[moment.item] = []
        elif isinstance(moment, Ended):
            self.ended = moment

    def _call(self, part: Call) -> None:
        if part.is_first:
            self.calls.append({"id": part.id, "name": part.name, "arguments": part.arguments})
            return
        for call in self.calls:
            if call["id"] == part.id:
                call["arguments"] += part.arguments
                call["name"] = call["name"] or part.name


def last_restarts(events: Iterable[Event]) -> dict[str, int]:
    """By item, the seq of the last event that made what was said of it void."""
    reading = Reading()
    return {
        moment.item: event.seq
        for event in events
        for moment in reading.take(event)
        if isinstance(moment, Restarted)
    }
