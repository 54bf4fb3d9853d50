"""Jobs in this process: a real thread each, or a greenlet for those that mostly wait."""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from streaming.concurrency.loop import has_event_loop, spawn_greenlet
from streaming.concurrency.periodic import Periodic
from streaming.concurrency.platform import native_lock
from streaming.concurrency.stop_signal import StopSignal
from streaming.concurrency.threads import Thread
from streaming.concurrency.waking import make_waker
from streaming.errors import (
    Closed,
    Interrupted,
    LogRefusal,
    NotFound,
    Stop,
    TimedOut,
    TooMany,
    Unavailable,
)
from streaming.running.attempt import Attempt
from streaming.running.runner import Load, Runner

logger = logging.getLogger(__name__)

#: Seconds between checks of time limits and of jobs that were told to stop.
TICK_S = 0.1
#: Seconds for a task to react to a stop before its job is ended without it.
STOP_GRACE_S = 5.0
#: Seconds between two log lines about missing threads.
SAY_S = 10.0


class Running(Protocol):
    """An attempt that a runner has begun, here or elsewhere."""

    job: str
    stop: StopSignal
    left: bool

    def ask_to_stop(self, reason: Stop) -> None:
        """Unwind the task; from any thread."""

    def overdue(self) -> bool:
        """Whether its time limit has passed."""

    def end(self) -> None:
        """Append the terminal event of code that does not react to its stop."""


class Lane:
    """Jobs of one kind: those that run, and those that wait for a place."""

    def __init__(self, name: str, limit: int) -> None:
        self.name = name
        self.limit = limit
        self.running = 0
        self.reserved = 0
        self.waiting: deque[str] = deque()

    @property
    def places_taken(self) -> int:
        """Places taken by jobs that run, wait, or are about to be stored."""
        return self.running + self.reserved + len(self.waiting)


class ThreadRunner(Runner):
    """Bounded lanes, a bounded queue. Owns the jobs' threads, and the thread that watches them."""

    def __init__(
        self,
        make_attempt: Callable[[str, bool], Attempt],
        *,
        threads: int,
        greenlets: int,
        queue: int,
        succeeded: Callable[[], bool] = lambda: False,
        ended: Callable[[Running], object] = lambda _: None,
        stuck: Callable[[str], object] = lambda _: None,
        stop_grace_s: float = STOP_GRACE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make_attempt = make_attempt
        self._queue = queue
        #: Whether another process will run the jobs that are stored while this one shuts down.
        self._succeeded = succeeded
        #: Called for each attempt that is over, once its thread has returned.
        self._tell_ended = ended
        #: Called for each job that was ended while its code still runs.
        self._tell_stuck = stuck
        self._stop_grace_s = stop_grace_s
        self._clock = clock
        self._lock = native_lock()
        self._threads = Lane("thread", threads)
        self._greenlets = Lane("greenlet", greenlets)
        self._lanes = (self._threads, self._greenlets)
        self._attempts: dict[str, Running] = {}
        self._stuck: set[str] = set()
        #: Jobs that wait to run on trial.
        self._trials: set[str] = set()
        self._draining = False
        #: On `clock`: when missing threads were last logged.
        self._said_no_thread_at = -SAY_S
        self.loop = Periodic(self._watch, every_s=TICK_S, name="job-watcher")

    def start(self) -> None:
        self.loop.start()

    def close(self) -> None:
        self.loop.stop()

    def dead(self) -> list[str]:
        return [self.loop.name] if self.loop.dead else []

    def reserve(self, *, cooperative: bool) -> int:
        if self._draining and not self._succeeded():
            raise Closed("the server is shutting down; try again")
        lane = self._lane(cooperative)
        with self._lock:
            waiting = self._waiting()
            position = max(0, lane.places_taken + 1 - lane.limit)
            if position and waiting >= self._queue:
                raise TooMany(
                    f"{waiting} jobs are waiting, the limit is {self._queue}; try again later",
                    code="queue_full",
                    retry_after_s=random.uniform(1, 5),
                )
            lane.reserved += 1
        return position

    def release(self, *, cooperative: bool) -> None:
        with self._lock:
            self._lane(cooperative).reserved -= 1

    def enqueue(
        self, job: str, *, cooperative: bool, reserved: bool = False, on_trial: bool = False
    ) -> None:
        lane = self._lane(cooperative)
        with self._lock:
            lane.reserved -= int(reserved)
            if not self._draining and job not in self._attempts and job not in lane.waiting:
                lane.waiting.append(job)
                if on_trial:
                    self._trials.add(job)
        self._dispatch(lane)

    def stop(self, job: str, reason: Stop) -> bool:
        with self._lock:
            for lane in self._lanes:
                if job in lane.waiting:
                    lane.waiting.remove(job)
                    self._trials.discard(job)
                    return True
            attempt = self._attempts.get(job)
        if attempt is not None:
            attempt.ask_to_stop(reason)
        return False

    def position(self, job: str) -> int | None:
        with self._lock:
            for lane in self._lanes:
                if job in lane.waiting:
                    return lane.waiting.index(job) + 1
        return None

    def knows(self, job: str) -> bool:
        """Whether the job runs or waits here."""
        with self._lock:
            return job in self._attempts or any(job in lane.waiting for lane in self._lanes)

    def jobs(self) -> set[str]:
        """The jobs that run here."""
        with self._lock:
            return set(self._attempts)

    def load(self) -> Load:
        with self._lock:
            return Load(
                running=sum(lane.running for lane in self._lanes),
                queued=self._waiting(),
                stuck=len(self._stuck),
                threads=self._threads.limit,
            )

    def drain(self, *, finish_s: float, unwind_s: float) -> None:
        with self._lock:
            self._draining = True
            for lane in self._lanes:
                lane.waiting.clear()  # they stay queued in the log
        if self._wait_for_end(finish_s):
            return
        with self._lock:
            attempts = list(self._attempts.values())
        for attempt in attempts:
            attempt.ask_to_stop(Interrupted("the server is shutting down"))
        self._wait_for_end(unwind_s)

    def _lane(self, cooperative: bool) -> Lane:
        return self._greenlets if cooperative and has_event_loop() else self._threads

    def _waiting(self) -> int:
        """Jobs that wait or will: reservations beyond the free places count, too."""
        return sum(max(0, lane.places_taken - lane.limit) for lane in self._lanes)

    def _dispatch(self, lane: Lane) -> None:
        """Start waiting jobs while there are free places and threads."""
        while True:
            with self._lock:
                if self._draining or not lane.waiting or lane.running >= lane.limit:
                    return
                job = lane.waiting.popleft()
                on_trial = job in self._trials
                attempt = self._attempts[job] = self._make(lane, job, on_trial)
                self._trials.discard(job)
                lane.running += 1
            try:
                self._launch(lane, attempt, on_trial)
            except Unavailable as error:
                self._put_back(lane, attempt, on_trial=on_trial)
                self._say_no_thread(error)
                return

    def _make(self, _lane: Lane, job: str, on_trial: bool) -> Running:
        """An attempt, not yet begun."""
        return self._make_attempt(job, on_trial)

    def _launch(self, lane: Lane, attempt: Running, on_trial: bool) -> None:  # noqa: ARG002
        """Run an attempt; `_ended` must be called once nothing of it runs any longer."""
        assert isinstance(attempt, Attempt)

        def run() -> None:
            try:
                attempt.run()
            finally:
                self._ended(lane, attempt)

        if lane is self._greenlets and spawn_greenlet(run):
            return
        Thread(run, name=f"job-{attempt.job[-8:]}").start()

    def note_stuck(self, job: str) -> None:
        """Note a job that has ended while its code still runs."""
        with self._lock:
            if job not in self._attempts or job in self._stuck:
                return
            self._stuck.add(job)
        self._tell_stuck(job)

    def _put_back(self, lane: Lane, attempt: Running, *, on_trial: bool) -> None:
        """No thread could be started: the job stays first in line, and the watcher tries again."""
        with self._lock:
            del self._attempts[attempt.job]
            lane.running -= 1
            if not self._draining:
                lane.waiting.appendleft(attempt.job)
                if on_trial:
                    self._trials.add(attempt.job)

    def _say_no_thread(self, error: Unavailable) -> None:
        """Log it, but rarely: it is tried ten times a second."""
        now = self._clock()
        if now - self._said_no_thread_at > SAY_S:
            self._said_no_thread_at = now
            logger.error("jobs have to wait: %s", error.detail)

    def _ended(self, lane: Lane, attempt: Running) -> None:
        with self._lock:
            del self._attempts[attempt.job]
            if attempt.job in self._stuck:
                self._stuck.discard(attempt.job)
                logger.warning("the code of job %s has returned at last", attempt.job)
            lane.running -= 1
        self._tell_ended(attempt)
        self._dispatch(lane)

    def _wait_for_end(self, timeout_s: float) -> bool:
        """Whether all attempts have ended, stuck ones aside."""
        until, waker = self._clock() + timeout_s, make_waker()
        while self._clock() < until:
            with self._lock:
                if len(self._attempts) == len(self._stuck):
                    return True
            waker.wait(TICK_S / 2)
        return False

    def _watch(self) -> None:
        with self._lock:
            attempts = [a for job, a in self._attempts.items() if job not in self._stuck]
        for attempt in attempts:
            try:
                self._look_at(attempt)
            except Exception:  # whatever it was, the other jobs' time-outs must be checked
                logger.exception("looking at job %s failed", attempt.job)
        for lane in self._lanes:  # those for which no thread could be started
            self._dispatch(lane)

    def _look_at(self, attempt: Running) -> None:
        stopped_at = attempt.stop.set_at
        if stopped_at is None:
            if attempt.overdue():
                attempt.ask_to_stop(TimedOut("its running time is over (timeout_s)"))
            return
        late = attempt.stop.swallowed or self._clock() - stopped_at > self._stop_grace_s
        if not late or isinstance(attempt.stop.reason, Interrupted):
            return
        with self._lock:
            if attempt.job not in self._attempts:
                return
            self._stuck.add(attempt.job)
        try:
            attempt.end()
        except (LogRefusal, NotFound) as error:
            logger.warning("job %s: %s", attempt.job, error.detail)
        except Unavailable:
            with self._lock:
                self._stuck.discard(attempt.job)  # tried again at the next check
        else:
            logger.error("the code of job %s does not stop; its job was ended", attempt.job)
            self._tell_stuck(attempt.job)
