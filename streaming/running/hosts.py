"""The task hosts of a serving process: starts them, gives them attempts, replaces them."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from streaming.concurrency.locks import Latch
from streaming.concurrency.platform import native_lock
from streaming.concurrency.threads import Thread
from streaming.concurrency.waking import Waker, make_waker
from streaming.errors import Cancelled, Interrupted, LogRefusal, NotFound, Stop, Unavailable
from streaming.events.recovery import SUSPICIOUS
from streaming.running.host_attempt import HostedAttempt
from streaming.running.host_process import (
    LEAVE_S,
    HostedApp,
    HostProcess,
    how_it_ended,
    why,
)
from streaming.running.runner import HostFigures
from streaming.storage.base import Storage
from streaming.storage.snapshots import Snapshots

logger = logging.getLogger(__name__)

#: Seconds between two looks at the hosts.
LOOK_S = 0.1
#: Seconds in which a host must have loaded the app, and how often it may fail to.
LOAD_S, FAILURES = 60.0, 2
#: How often it may be killed meanwhile, which need not be the app's fault.
KILLS = 6
#: Seconds after a stop, in which a host must have ended the job or said that its code hangs.
ANSWER_S = 6.0
#: Seconds for which a host has nothing to do but to wait for stuck threads, before it is replaced.
IDLE_S = 1.0
#: Hosts at once for single jobs that may have killed the ones before.
LONE = 2


class Hosts:
    """Owns the host processes and the thread that watches them."""

    def __init__(
        self,
        app: HostedApp,
        storage: Storage,
        snapshots: Snapshots,
        *,
        count: int,
        level: str,
        methods: Mapping[str, Callable[..., Any]],
        ended: Callable[[str, str, float], object],
        stuck: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`level` names the level of the hosts' log lines and their form; `ended` and `stuck` are
        told of a job's end and of a job whose code goes on after it."""
        self._app = app
        self._storage = storage
        self._snapshots = snapshots
        self._count = count
        self._level = level
        self._methods = methods
        self._tell_ended = ended
        self._tell_stuck = stuck
        self._clock = clock
        self._lock = native_lock()
        self._hosts: list[HostProcess] = []
        #: Attempts that wait for a host; those that are to run in one of their own.
        self._waiting: deque[tuple[HostedAttempt, bool]] = deque()
        self._suspects: deque[HostedAttempt] = deque()
        #: How often each job's host has died under it.
        self._deaths: dict[str, int] = {}
        self._failures = 0
        self._replaced = 0
        #: Whether a host has ever loaded the app.
        self._loaded = False
        self.given_up: str | None = None
        #: Whether there is something to run that needs a host.
        self._needed = False
        self._leaving = Latch()
        self._waker: Waker | None = None
        self._thread = Thread(self._watch, name="task-hosts")

    def start(self, *, needed: bool) -> None:
        """Watch; hosts are started now, or where none is needed yet, with the first attempt."""
        self._needed = needed
        self._thread.start()

    def close(self) -> None:
        """End all hosts and what they have started; attempts are over."""
        self._leaving.open()
        self._ring()
        if self._thread.join(LEAVE_S + 5):
            self._end_all()  # where the thread had ended by itself

    def dead(self) -> list[str]:
        """The watching thread, when it has ended by itself."""
        return [self._thread.name] if self._thread.dead else []

    def figures(self) -> HostFigures:
        with self._lock:
            ready = [host for host in self._hosts if host.ready]
            rss = sum(host.said.get("rss", 0.0) for host in ready)
            wanted = 0 if self.given_up or not self._needed else self._count
            return HostFigures(
                ready=len(ready),
                wanted=wanted,
                starting=wanted > 0 and not self._loaded,
                replaced=self._replaced,
                given_up=self.given_up,
                rss=rss,
            )

    def give(self, attempt: HostedAttempt, *, on_trial: bool) -> None:
        """Have an attempt run in a host, as soon as one is ready; returns at once."""
        with self._lock:
            self._needed = True
            self._waiting.append((attempt, on_trial))
            host = None if attempt.job in self._deaths else self._roomiest()
        if host is not None:  # no need to wait for the watching thread
            self._place()
        self._ring()

    def stop(self, attempt: HostedAttempt, reason: Stop) -> None:
        with self._lock:
            host = self._host_of(attempt.job)
        if host is not None:
            host.stop(attempt.job, type(reason).__name__, str(reason))
        else:
            self._ring()  # it waits: the watching thread ends it

    # -- placing

    def _place(self) -> None:
        """Give what waits to the hosts that are ready."""
        while True:
            with self._lock:
                host = self._roomiest()
                if host is None or not self._waiting:
                    return
                attempt, on_trial = self._waiting.popleft()
            if attempt.stop.reason is not None:
                self._end_unplaced(attempt)
            elif self._is_suspect(attempt):
                with self._lock:
                    self._suspects.append(attempt)
            else:
                self._run(host, attempt, on_trial=on_trial)

    def _run(self, host: HostProcess, attempt: HostedAttempt, *, on_trial: bool) -> None:
        try:
            found = attempt.place()
        except Unavailable as error:
            logger.warning("job %s is left to a later attempt: %s", attempt.job, error.detail)
            attempt.left, found = True, False
        if not found:
            attempt.over()
            return
        with self._lock:
            if host not in self._hosts:  # it has died meanwhile
                self._waiting.appendleft((attempt, on_trial))
                return
            host.attempts[attempt.job] = attempt
            host.idle_since = None
        host.run(attempt, on_trial=on_trial)
        reason = attempt.stop.reason
        if reason is not None:  # asked for while it was placed
            host.stop(attempt.job, type(reason).__name__, str(reason))

    def _roomiest(self) -> HostProcess | None:
        ready = [host for host in self._hosts if host.ready and not host.lone]
        return min(ready, key=lambda host: len(host.attempts), default=None)

    def _host_of(self, job: str) -> HostProcess | None:
        return next((host for host in self._hosts if job in host.attempts), None)

    def _is_suspect(self, attempt: HostedAttempt) -> bool:
        """Whether hosts have died under it again and again, without a step completed."""
        deaths = self._deaths.get(attempt.job, 0)
        return deaths >= SUSPICIOUS and attempt.lost_in_a_row() >= SUSPICIOUS

    def _end_unplaced(self, attempt: HostedAttempt) -> None:
        """It was stopped before a host had it."""
        try:
            if isinstance(attempt.stop.reason, Cancelled):
                attempt.end()
        except (LogRefusal, NotFound, Unavailable) as error:
            logger.warning("job %s: %s", attempt.job, error.detail)
        attempt.left = isinstance(attempt.stop.reason, Interrupted)
        attempt.over()

    # -- what hosts say, in the threads that read their links

    def _over(self, host: HostProcess, job: str, left: bool) -> None:
        with self._lock:
            attempt = host.attempts.pop(job, None)
            host.stuck.discard(job)
            self._deaths.pop(job, None)
        host.link.forget(job)
        if attempt is not None:
            attempt.left = left
            attempt.over()
        self._ring()

    def _stuck(self, host: HostProcess, job: str) -> None:
        with self._lock:
            host.stuck.add(job)
        self._tell_stuck(job)

    def _ended(self, _host: HostProcess, task: str, status: str, seconds: float) -> None:
        self._tell_ended(task, status, seconds)

    def _ring(self) -> None:
        if self._waker is not None:
            self._waker.wake()

    # -- watching

    def _watch(self) -> None:
        self._waker = make_waker()
        while not self._leaving.is_open:
            try:
                self._look()
            except Exception:  # whatever it was, the next look must come
                logger.exception("looking after the task hosts failed")
            self._waker.wait(LOOK_S)
        self._end_all()

    def _look(self) -> None:
        with self._lock:
            hosts = list(self._hosts)
        for host in hosts:
            self._look_at(host)
        if self.given_up is not None:
            self._fall_back()
            return
        if self._needed:
            with self._lock:
                missing = self._count - sum(not host.lone for host in self._hosts)
                lone = min(len(self._suspects), LONE - sum(h.lone for h in self._hosts))
            for _ in range(missing):
                self._start(lone=False)
            for _ in range(lone):
                self._start(lone=True)
        self._place()
        self._end_stopped()

    def _look_at(self, host: HostProcess) -> None:
        host.link.flush()
        code = host.died()
        if code is not None:
            self._bury(host, code)
        elif not host.ready:
            self._look_at_loading(host)
        elif host.stopped():
            self._replace(host, "it was stopped", guilty=())
        elif host.silent():
            self._replace(host, "it neither speaks nor computes", guilty=tuple(host.attempts))
        else:
            self._look_at_stops(host)

    def _look_at_loading(self, host: HostProcess) -> None:
        loaded = host.loaded
        if loaded is None or not loaded.done:
            if self._clock() - host.started_at > LOAD_S:
                self._fail(host, f"the app does not load within {LOAD_S:.0f} s")
        elif loaded.error is not None:
            if not host.peer.over.is_open:  # else its end says more
                self._fail(host, why(loaded.error))
        elif loaded.value != self._app.digest:
            self._fail(host, "its tasks differ from the server's", at_once=True)
        else:
            self._failures = 0
            host.ready = self._loaded = True
            seconds = self._clock() - host.started_at
            logger.info("task host %d is ready after %.1f s", host.pid, seconds)
            if host.lone:
                with self._lock:
                    attempt = self._suspects.popleft() if self._suspects else None
                if attempt is None:
                    self._drop(host)
                elif attempt.stop.reason is not None:
                    self._drop(host)
                    self._end_unplaced(attempt)
                else:
                    self._run(host, attempt, on_trial=False)

    def _look_at_stops(self, host: HostProcess) -> None:
        now = self._clock()
        with self._lock:
            attempts, stuck = dict(host.attempts), set(host.stuck)
        overdue = [
            job
            for job, attempt in attempts.items()
            if job not in stuck
            and attempt.stop.set_at is not None
            and not isinstance(attempt.stop.reason, Interrupted)
            and now - attempt.stop.set_at > ANSWER_S
        ]
        if overdue:
            self._replace(host, "it does not answer", guilty=tuple(overdue))
        elif host.lone and not attempts:
            self._drop(host)
        elif stuck and stuck >= attempts.keys():
            host.idle_since = host.idle_since or now
            if now - host.idle_since > IDLE_S:
                self._replace(host, f"{len(stuck)} of its threads are stuck", guilty=tuple(stuck))
        else:
            host.idle_since = None

    # -- starting and ending

    def _start(self, *, lone: bool) -> None:
        try:
            host = HostProcess(
                self._app,
                self._storage,
                self._snapshots,
                lone=lone,
                methods=self._methods,
                notes={"over": self._over, "stuck": self._stuck, "ended": self._ended},
                news=self._ring,
                clock=self._clock,
            )
        except OSError as error:  # no process to be had
            self._count_failure(f"cannot start a process: {error.strerror}")
            return
        with self._lock:
            self._hosts.append(host)
        host.load(level=self._level)

    def _fail(self, host: HostProcess, reason: str, *, at_once: bool = False) -> None:
        """A host that could not load the app."""
        self._drop(host)
        self._count_failure(reason, at_once=at_once)

    def _count_failure(self, reason: str, *, at_once: bool = False, most: int = FAILURES) -> None:
        self._failures += 1
        logger.error("a task host could not start: %s", reason)
        if at_once or self._failures >= most:
            self.given_up = reason
            logger.warning(
                "tasks run as threads of this process, where processes, threads and asyncio of "
                "their own may not work (STREAMING_TASK_PROCESSES=0 says that this is meant): %s",
                reason,
            )

    def _bury(self, host: HostProcess, code: int) -> None:
        """A host has died by itself: of one of its jobs, perhaps."""
        how = how_it_ended(code)
        self._drop(host)
        if not host.ready:
            self._count_failure(
                f"it ended while it loaded the app ({how})", most=KILLS if code < 0 else FAILURES
            )
        with self._lock:
            running = [a for job, a in host.attempts.items() if job not in host.stuck]
        jobs = ", ".join(attempt.job for attempt in running[:5]) or "none"
        logger.error("task host %d has died: %s; jobs there: %s", host.pid, how, jobs)
        self._replaced += 1
        for attempt in running:
            self._deaths[attempt.job] = self._deaths.get(attempt.job, 0) + 1
            attempt.lose(blame=how if len(running) == 1 else None, innocent=False)
        self._settle(host)

    def _replace(self, host: HostProcess, reason: str, *, guilty: tuple[str, ...]) -> None:
        """End a host that lives; its jobs go on elsewhere, and only the guilty ones lose by it."""
        logger.error("task host %d is replaced: %s", host.pid, reason)
        self._drop(host)
        self._replaced += 1
        alone = len(host.attempts) == 1
        for job, attempt in list(host.attempts.items()):
            innocent = job not in guilty or not alone
            attempt.lose(blame=None if innocent else reason, innocent=innocent)
        self._settle(host)

    def _drop(self, host: HostProcess) -> None:
        """Kill it, and forget it; nothing is said over its link from here on."""
        host.end()
        with self._lock:
            self._hosts.remove(host)

    def _settle(self, host: HostProcess) -> None:
        """What becomes of the attempts of a host that is gone."""
        with self._lock:
            attempts, host.attempts = list(host.attempts.values()), {}
        for attempt in reversed(attempts):
            if attempt.stop.reason is not None:
                self._end_lost(attempt)
                continue
            with self._lock:
                self._waiting.appendleft((attempt, False))

    def _end_lost(self, attempt: HostedAttempt) -> None:
        """It was to stop, and its host is gone: there is nothing left to wait for."""
        try:
            if isinstance(attempt.stop.reason, Interrupted):
                attempt.left = True
            else:
                attempt.end()
        except (LogRefusal, NotFound) as error:
            logger.info("job %s: %s", attempt.job, error.detail)
        except Unavailable as error:
            logger.warning("job %s is left to a later attempt: %s", attempt.job, error.detail)
            attempt.left = True
        self._deaths.pop(attempt.job, None)
        attempt.over()

    def _end_stopped(self) -> None:
        """End what was stopped while it waited for a host."""
        with self._lock:
            stopped = [a for a, _ in self._waiting if a.stop.reason is not None]
            stopped += [a for a in self._suspects if a.stop.reason is not None]
            gone = {id(attempt) for attempt in stopped}
            self._waiting = deque(each for each in self._waiting if id(each[0]) not in gone)
            self._suspects = deque(each for each in self._suspects if id(each) not in gone)
        for attempt in stopped:
            self._end_unplaced(attempt)

    def _fall_back(self) -> None:
        """Have what waits run in this process."""
        with self._lock:
            waiting = [*(a for a, _ in self._waiting), *self._suspects]
            self._waiting.clear()
            self._suspects.clear()
        for attempt in waiting:
            attempt.fall_back()

    def _end_all(self) -> None:
        with self._lock:
            hosts = list(self._hosts)
        for host in hosts:
            host.leave()
        until, waker = self._clock() + LEAVE_S, make_waker()
        while any(host.died() is None for host in hosts) and self._clock() < until:
            waker.wait(LOOK_S / 10)
        for host in hosts:
            self._drop(host)
            for attempt in list(host.attempts.values()):
                attempt.left = True
                attempt.over()
