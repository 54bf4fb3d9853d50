"""Drives one attempt's task: its context and the parts behind it, its leases, its result."""

from __future__ import annotations

import contextlib
import logging
import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager

from streaming.events import make
from streaming.events.event import Draft
from streaming.events.vocabulary import JsonObject
from streaming.running.closing import http_ends_with
from streaming.running.context import AttemptInputs, JobContext
from streaming.running.emitter import Emitter
from streaming.running.endings import Spent, note
from streaming.running.leases import Holding
from streaming.running.model import BoundModel, Desk, Told
from streaming.running.questions import Questions
from streaming.running.returned import drive
from streaming.running.steps import Steps

logger = logging.getLogger(__name__)


class Driver:
    """Calls the task's function and runs what it returns. `run` is for the task's thread."""

    def __init__(
        self, given: AttemptInputs, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._given = given
        self._emitter = emitter = Emitter(
            given.log,
            given.job,
            attempt=given.attempt,
            stop=given.stop,
            max_event_bytes=given.max_event_bytes,
            spend=given.budget.spend,
        )
        self._questions = Questions(
            emitter, given.log, given.stop, given.state, given.records, clock=clock
        )
        told = Told()
        self._steps = steps = Steps(
            emitter,
            self._questions,
            given.stop,
            given.state,
            given.records,
            told=told,
            kept=given.kept,
            clock=clock,
        )
        on_break = str(given.state.recovery.asked.get("on_break") or "restart")
        desk = Desk(
            told,
            steps.think,
            steps.note,
            self._questions.listen,
            steps.called,
            on_break,
            given.held_until,
            steps.kept,
        )
        llm = BoundModel(given.model, given.stop, desk)
        self.context = JobContext(given, emitter, steps, self._questions, llm)

    def run(
        self, function: Callable[..., object], value: object, needs: Mapping[str, int]
    ) -> object:
        """Call `function(context, value)` while holding its leases; the output, or what it raised.

        When it returns, every event that the task emitted is committed.
        """
        try:
            with (
                self._leased(needs),
                self._inside(),
                http_ends_with(self._given.stop),
            ):
                with _in_one_process():
                    result = function(self.context, value)
                    output = drive(result, self._steps.say, self._given.stop)
                self._steps.say_rest()
                return output
        finally:
            self._emitter.settle()

    @property
    def spent(self) -> Spent:
        """What the task's models have cost so far, and how the last answer ended."""
        return Spent(self.context.usage, self.context.llm.told)

    def waited_s(self) -> float:
        """Seconds that the task has waited for people or leases; they do not count as running."""
        return self._questions.waited_s()

    def skip_open(self) -> list[Draft]:
        """The events that close the checklist; from any thread."""
        return self._steps.skip_open()

    @contextlib.contextmanager
    def _inside(self) -> Iterator[None]:
        """Within the block: inside what is entered around a task, its app's context.

        An error on leaving it (of the app's teardown functions) does not replace what the task
        returned or raised.
        """
        around = self._given.around(self._given.job)
        around.__enter__()
        try:
            yield
        except BaseException as error:
            self._leave(around, error)
            raise
        self._leave(around, None)

    def _leave(self, around: AbstractContextManager[object], raised: BaseException | None) -> None:
        kind, trace = (None, None) if raised is None else (type(raised), raised.__traceback__)
        try:
            around.__exit__(kind, raised, trace)
        except BaseException as error:  # noqa: BLE001 - an app's code, which may call sys.exit()
            if error is not raised:
                said = "job %s: tearing down what its task ran in failed; its end stands"
                note(logger.error, said, self._given.job, exc_info=error)

    @contextlib.contextmanager
    def _leased(self, needs: Mapping[str, int]) -> Iterator[None]:
        """Hold the leases of a task within the block, waiting for them in order first."""
        holding = Holding(self._given.leases, self._given.job, needs, self._tell_leases)
        try:
            with self._questions.standing_still():
                holding.acquire(self._given.stop)
            yield
        finally:
            holding.release()

    def _tell_leases(self, message: str, leases: list[JsonObject]) -> None:
        self._emitter.emit(make.log, message, leases=leases)


@contextlib.contextmanager
def _in_one_process() -> Iterator[None]:
    """A child that the task forked ends here, where it would leave the task's code.

    The end of the job, its leases and its app's context are the parent's business.
    """
    me, code = os.getpid(), 0
    try:
        yield
    except BaseException as error:
        code = _exit_code(error)
        if os.getpid() == me:
            raise
        if not isinstance(error, SystemExit):
            note(traceback.print_exception, error)
    finally:
        if os.getpid() != me:
            os._exit(code)


def _exit_code(error: BaseException) -> int:
    """The exit code that Python would use for an uncaught exception."""
    if not isinstance(error, SystemExit):
        return 1
    if error.code is None:
        return 0
    return error.code & 0xFF if isinstance(error.code, int) else 1
