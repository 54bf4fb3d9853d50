"""JobContext: what a task may call. Whatever it does is an event in the job's log."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, ParamSpec, TypeVar

from pydantic import BaseModel

from streaming.concurrency.stop_signal import StopSignal
from streaming.errors import TaskError
from streaming.events import make
from streaming.events.snapshot import Snapshot
from streaming.events.vocabulary import Json, JsonMapping, JsonObject
from streaming.llm.base import Model
from streaming.running import compute as child
from streaming.running.closing import Closing
from streaming.running.emitter import Budget, Emitter
from streaming.running.model import BoundModel
from streaming.running.origin import Origin, UserId
from streaming.running.questions import Questions
from streaming.running.steps import Steps
from streaming.running.uploads import Uploads
from streaming.storage.base import EventLog
from streaming.storage.blobs import Blobs
from streaming.storage.leases import Leases

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
#: RFC 9110, 8.3.1: type, subtype, and parameters whose values are tokens or quoted strings.
_MEDIA_TYPE = re.compile(
    r"[\w!#$&^.+-]+/[\w!#$&^.+-]+"
    r"(?:[ \t]*;[ \t]*[\w!#$&^.+-]+=(?:[\w!#$&^.+-]+|\"(?:[ !#-\[\]-~]|\\[ -~])*\"))*",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class AttemptInputs:
    """What one attempt works with: its job as it stands, and the parts of the process."""

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
    #: Prefix of an artifact's path.
    base_url: str
    leases: Leases
    #: Value and unit of this service's own figures, by name.
    figures: Callable[[], Mapping[str, tuple[float, str]]] = dict
    #: What the task's code runs inside of: the host app's context, given the job's id.
    around: Callable[[str], AbstractContextManager[object]] = nullcontext
    #: Epoch seconds until which a client's status line waits for the first piece; 0: none does.
    held_until: float = 0.0
    budget: Budget = field(default_factory=Budget)
    #: Unfinished texts of an earlier attempt, if the job may continue them.
    kept: Mapping[str, str] = field(default_factory=dict)


class JobContext:
    """What a task calls. Every method raises the stop when the job is to end."""

    def __init__(
        self,
        given: AttemptInputs,
        emitter: Emitter,
        steps: Steps,
        questions: Questions,
        llm: BoundModel,
    ) -> None:
        self._given = given
        self._emitter = emitter
        self._steps = steps
        self._questions = questions
        self._uploads = Uploads(given.blobs, given.owner)
        self.usage = llm.usage
        self.llm = llm

    @property
    def job(self) -> str:
        """The job's id."""
        return self._given.job

    @property
    def owner(self) -> UserId:
        """Whose job it is: what the app's `authorize` returned, with its type.

        Where API keys tell who asks, it is the key's owner; without them `anonymous`.
        """
        user = Origin.of(self._given.records).user
        return self._given.owner if user is None else user

    @property
    def attempt(self) -> int:
        """Which try at the job this is, from 1."""
        return self._given.attempt

    @property
    def cancelled(self) -> bool:
        """Whether the task is to end, for code that must not be unwound."""
        return self._given.stop.reason is not None

    # -- saying

    def text(self, text: str, *, item: str | None = None) -> None:
        """Append to an item of text: by default the present step's, or `answer`."""
        self._steps.say(text, item)

    def reasoning(self, text: str, *, item: str | None = None) -> None:
        """Append to the thinking, apart from the answer."""
        self._steps.think(text, item)

    def progress(
        self, done: float, total: float, message: str | None = None, *, estimated: bool = False
    ) -> None:
        """`done` of `total` units of the present step; an event is emitted only when it matters.

        `estimated`: the total is a guess, and so is all that is computed from it.
        """
        self._given.stop.check()
        self._steps.count(done, total, message, estimated=estimated)

    def metric(
        self,
        name: str,
        value: float,
        *,
        unit: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """Record a figure; the newest for each name and labels counts."""
        self._emitter.emit(make.metric, name, value, unit, labels)

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
        self._emitter.emit(make.alert, rule, message, severity=severity, value=value, state=state)

    def log(self, message: str, *, level: str = "info") -> None:
        """Write a line to the job's log, for debugging."""
        self._emitter.emit(make.log, message, level=level)

    def artifact(self, name: str, data: bytes | str | Iterable[bytes], *, media_type: str) -> str:
        """Store a file of the job; its path. Stored again, the newest wins."""
        check_name(name)
        self.raise_if_cancelled()
        media_type = _check_media_type(media_type)
        if isinstance(data, str):
            data = _encoded(data)
            if media_type.startswith("text/") and "charset" not in media_type:
                media_type += "; charset=utf-8"
        chunks = [data] if isinstance(data, bytes) else data
        size = self._given.blobs.put(f"{self.job}/{name}", chunks)
        self._given.budget.spend(0, size)
        href = f"{self._given.base_url}/jobs/{self.job}/artifacts/{name}"
        self._emitter.emit(make.artifact, name, media_type, size, href)
        return href

    def degrade(self, why: str) -> None:
        """Mark the job's result as less than what was asked for; the snapshot shows it."""
        self._steps.note(why, {"degraded": True})

    # -- doing

    def plan(self, steps: Iterable[tuple[str, str]]) -> None:
        """Add pending steps (id, title), for tasks whose steps depend on their input.

        They count towards progress like declared ones.
        """
        self._steps.plan(steps)

    def step(
        self, id: str, function: Callable[P, object], *args: P.args, **kwargs: P.kwargs
    ) -> Json:
        """Run a step once over all attempts; its result (JSON) is kept, and returned again.

        A generator's strings are the step's text, its return value is the result.
        """
        return self._steps.run(id, function, *args, **kwargs)

    def tool(self, name: str, function: Callable[..., R], **arguments: Json) -> R:
        """Call a tool, with its call and its result as events; its error is raised again."""
        return self._steps.tool(name, function, arguments)

    def ask(
        self,
        prompt: str,
        *,
        schema: type[BaseModel] | JsonMapping | None = None,
        timeout_s: float | None = None,
    ) -> Any:
        """Ask a person, and wait for the answer; the job is `waiting_for_input` meanwhile.

        `schema` (a pydantic model or JSON Schema) is checked before an answer is accepted. When a
        later attempt asks again, a question that was answered is not put again. `TimeoutError`
        after `timeout_s`.
        """
        return self._questions.ask(self._steps.current, prompt, schema, timeout_s)

    def inputs(self, timeout_s: float | None = None) -> Iterator[Json]:
        """Yield what clients send to the running job; ends when nothing arrives for `timeout_s`.

        For tasks with `takes_input`. What was taken before the last finished step or checkpoint is
        not given to a later attempt again.
        """
        return self._questions.inputs(timeout_s)

    def take_input(self) -> Json:
        """The next input that a client has sent to the running job, or None; never waits."""
        self.raise_if_cancelled()
        return self._questions.take()

    def checkpoint(self, state: Json) -> None:
        """Keep `state` for a later attempt of the present step; see `restore`."""
        self._steps.checkpoint(state)

    def restore(self, default: Json = None) -> Json:
        """The last checkpoint of the present step, of this attempt or an earlier one."""
        return self._steps.restore(default)

    def compute(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run pure-Python computing in a child process, where it delays no stream.

        A generator function becomes a generator: its values, and its return value.
        """
        self.raise_if_cancelled()
        return child.compute(self._given.stop, function, *args, **kwargs)

    def file_info(self, file: str) -> JsonObject:
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
        return self._given.figures()

    # -- waiting and stopping

    def sleep(self, seconds: float) -> None:
        """Sleep; a cancel wakes it."""
        self._given.stop.sleep(seconds)

    def closing(self, stream: T) -> Closing[T]:
        """A stream of your own that ends with the job, for a `for` loop or a `with` block.

        A stop shuts its socket down, which wakes whoever waits for it and shows its server that
        it has closed, and then closes the stream. Works for requests, httpx, the openai and
        anthropic SDKs, and whatever keeps its socket as they do.
        """
        return Closing(self._given.stop, stream)

    def raise_if_cancelled(self) -> None:
        """Raise the stop when the job is to end: for loops that emit nothing."""
        self._given.stop.check()


def check_name(name: object) -> None:
    """`TaskError` unless `name` may name an artifact."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise TaskError(
            f"artifact name {name!a:.120}: 1-100 of A-Z a-z 0-9 . _ - and no leading dot",
            code="invalid_artifact_name",
        )


def _check_media_type(media_type: object) -> str:
    """The media type as a header can carry it; `TaskError` otherwise."""
    given = media_type.strip(" \t") if isinstance(media_type, str) else ""
    if len(given) > 255 or not _MEDIA_TYPE.fullmatch(given):
        raise TaskError(
            f"media_type {media_type!a:.120} is no media type: type/subtype, such as image/png or "
            "text/csv; charset=utf-8",
            code="invalid_media_type",
        )
    return given


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise TaskError(
            f"the artifact's text is not UTF-8: {error}; give bytes", code="invalid_output"
        ) from error
