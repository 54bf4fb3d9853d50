"""What people say to a running job: answers to its questions, and what is sent unasked."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping

import jsonschema
from pydantic import BaseModel

from streaming.concurrency.stop_signal import StopSignal
from streaming.concurrency.waking import make_waker
from streaming.errors import TaskError, Unexpected
from streaming.events import make
from streaming.events.snapshot import Snapshot
from streaming.events.vocabulary import Json, JsonMapping
from streaming.running.emitter import Emitter
from streaming.running.listening import InputWatch
from streaming.storage.base import EventLog

_NOBODY = "nobody answered in time"
#: Seconds to wait when reading only what is in the log already.
READ_S = 5.0
#: Seconds of one wait for input.
WAIT_S = 60.0
#: Name of the record that says up to where the log was searched for input.
_TAKEN = "fed"


class Questions:
    """Asks questions and takes inputs; for the task's thread, except for `waited_s`."""

    def __init__(
        self,
        emitter: Emitter,
        log: EventLog,
        stop: StopSignal,
        state: Snapshot,
        records: Mapping[str, bytes],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._emitter = emitter
        self._log = log
        self._job = state.job
        self._stop = stop
        self._answers = state.recovery.answers
        self._unanswered = frozenset(state.recovery.unanswered)
        self._clock = clock
        self._asked: dict[str | None, int] = {}
        #: Up to here the log was searched for unsolicited inputs.
        self._taken = int(records.get(_TAKEN, b"0"))
        self._waited_s = 0.0
        self._waiting_since: float | None = None

    def ask(
        self,
        step: str | None,
        prompt: str,
        schema: type[BaseModel] | JsonMapping | None,
        timeout_s: float | None,
    ) -> object:
        """A person's answer to a question of `step`, checked by `schema`.

        `TimeoutError` after `timeout_s`.
        """
        request = self._next_request(step)
        model = schema if isinstance(schema, type) else None
        shape = schema.model_json_schema() if isinstance(schema, type) else schema
        if shape is not None:
            _check_schema(shape)
        if request in self._unanswered:
            raise TimeoutError(_NOBODY)
        if request not in self._answers:
            asked = self._emitter.draft(make.input_requested, request, prompt, shape)
            row = self._emitter.append([asked])
            with self.standing_still():
                self._answers[request] = self._await_answer(request, row.seq, timeout_s)
        answer = self._answers[request]
        return answer if model is None else model.model_validate(answer)

    def inputs(self, timeout_s: float | None) -> Iterator[Json]:
        """Yield what clients send; ends when nothing arrives for `timeout_s`."""
        while True:
            try:
                yield self._await(None, self._taken, timeout_s)
            except TimeoutError:
                return

    def take(self) -> Json:
        """The next input, or None; never waits."""
        while True:
            page = self._log.read(self._job, self._taken)
            for event in page.events:
                self._taken = event.seq
                if event.type == "input.received" and event.data.get("request") is None:
                    return event.data["data"]
            if not page.events:
                return None

    def listen(self, wanted: Callable[[Json], bool], heard: Callable[[], object]) -> InputWatch:
        """Within the block, `heard` is called with the first input that `wanted` accepts."""
        return InputWatch(self._log, self._job, self._taken, wanted, heard)

    def place(self) -> tuple[int, dict[str | None, int]]:
        """The position in the log, for `go_back`."""
        return self._taken, dict(self._asked)

    def go_back(self, place: tuple[int, dict[str | None, int]]) -> None:
        """Return to a position, because a step is run again."""
        self._taken, self._asked = place

    def records(self) -> dict[str, bytes]:
        """What a later attempt needs to know of what was taken."""
        return {_TAKEN: str(self._taken).encode()} if self._taken else {}

    def waited_s(self) -> float:
        """Seconds that the task has waited for people or leases; they do not count as running."""
        since = self._waiting_since
        return self._waited_s + (0.0 if since is None else self._clock() - since)

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """Within the block, no running time passes."""
        self._waiting_since = self._clock()
        try:
            yield
        finally:
            self._waited_s, self._waiting_since = self.waited_s(), None

    def _next_request(self, step: str | None) -> str:
        """The id of the next question: the same in every attempt."""
        number = self._asked[step] = self._asked.get(step, 0) + 1
        return str(number) if step is None else f"{step}.{number}"

    def _await_answer(self, request: str, after: int, timeout_s: float | None) -> Json:
        try:
            return self._await(request, after, timeout_s)
        except TimeoutError:
            over = make.input_received(request, None, timed_out=True)
            try:
                self._emitter.append([over], expect={"input_request.request": (request,)})
            except Unexpected:  # an answer arrived just in time
                return self._await(request, after, READ_S)
            raise

    def _await(self, request: str | None, after: int, timeout_s: float | None) -> Json:
        """The data of the next `input.received` after position `after` that answers `request`."""
        if timeout_s is not None and math.isnan(timeout_s):
            raise ValueError("a timeout that is no number")
        until = None if timeout_s is None else self._clock() + timeout_s
        waker = make_waker()
        with self._stop.closing(waker.wake):
            while True:
                self._stop.check()
                left = WAIT_S if until is None else until - self._clock()
                if left <= 0:
                    raise TimeoutError(_NOBODY)
                page = self._log.read(self._job, after, timeout=min(left, WAIT_S), waker=waker)
                for event in page.events:
                    after = event.seq
                    self._taken = after if request is None else self._taken
                    if event.type == "input.received" and event.data.get("request") == request:
                        return event.data["data"]


def _check_schema(schema: JsonMapping) -> None:
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise TaskError(f"not a JSON Schema: {error.message}", code="invalid_schema") from error
