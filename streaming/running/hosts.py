"""The task hosts of a process: starts them, gives them attempts, replaces them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from streaming.concurrency.locks import Latch
from streaming.concurrency.platform import native_lock
from streaming.concurrency.threads import Thread
from streaming.concurrency.waking import Waker, make_waker
from streaming.errors import Stop, Unavailable
from streaming.running.host_attempt import HostedAttempt
from streaming.running.host_fault import Fault, find_fault
from streaming.running.host_process import LEAVE_S, HostedApp, HostProcess
from streaming.running.host_start import Failure, Starts, find_failure
from streaming.running.host_waiting import Waiting
from streaming.running.runner import HostFigures
from streaming.storage.base import Storage
from streaming.storage.snapshots import Snapshots

logger = logging.getLogger(__name__)

#: Seconds between two looks at the hosts.
LOOK_S = 0.1
#: Hosts for single jobs that load the app at once.
LOADING = 2


class Hosts:
    """Owns the host processes and the thread that watches them.

    Some are shared by many attempts. A job that may have killed its processes has a host of its
    own: what dies there was alone, so it is known who did it.
    """

    def __init__(
        self,
        app: HostedApp,
        storage: Storage,
        snapshots: Snapshots,
        *,
        count: int,
        lone: int,
        level: str,
        methods: Mapping[str, Callable[..., object]],
        ended: Callable[[str, str, float], object],
        stuck: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`count` are shared, at most `lone` are for one job each. `level` names the level of the
        hosts' log lines and their form; `ended` and `stuck` are told of a job's end and of a job
        whose code goes on after it."""
        self._app = app
        self._storage = storage
        self._snapshots = snapshots
        self._count = count
        self._lone = lone
        self._level = level
        self._methods = methods
        self._tell_ended = ended
        self._tell_stuck = stuck
        self._clock = clock
        self._lock = native_lock()
        self._hosts: list[HostProcess] = []
        self._waiting = Waiting()
        self._starts = Starts()
        self._replaced = 0
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

    @property
    def given_up(self) -> str | None:
        """Why no host runs anything any more, if so."""
        return self._starts.given_up

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
                starting=wanted > 0 and not self._starts.any_loaded,
                replaced=self._replaced,
                given_up=self.given_up,
                rss=rss,
            )

    def give(self, attempt: HostedAttempt) -> None:
        """Have an attempt run in a host, as soon as one is ready; returns at once."""
        self._needed = True
        self._waiting.put(attempt)
        self._place()  # where a host is ready, without waiting for the watching thread
        self._ring()

    def stop(self, attempt: HostedAttempt, reason: Stop) -> None:
        with self._lock:
            host = next((each for each in self._hosts if attempt.job in each.attempts), None)
        if host is not None:
            host.stop(attempt.job, type(reason).__name__, str(reason))
        else:
            self._ring()  # it waits: the watching thread ends it

    # -- placing

    def _place(self) -> None:
        """Give what waits for a shared host to those that are ready."""
        while (host := self._roomiest()) is not None:
            attempt = self._waiting.take(alone=False)
            if attempt is None:
                return
            self._run(host, attempt)

    def _roomiest(self) -> HostProcess | None:
        with self._lock:
            ready = [host for host in self._hosts if host.ready and not host.lone]
            return min(ready, key=lambda host: len(host.attempts), default=None)

    def _run(self, host: HostProcess, attempt: HostedAttempt) -> None:
        if attempt.stop.set_at is not None:
            attempt.conclude()
            return
        try:
            found = attempt.place()
        except Unavailable as error:
            logger.warning("job %s is left to a later attempt: %s", attempt.job, error.detail)
            attempt.left, found = True, False
        if not found:
            attempt.over()
            return
        with self._lock:
            gone = host not in self._hosts  # it has died meanwhile
            if not gone:
                host.attempts[attempt.job] = attempt
                host.idle_since = None
        if gone:
            self._waiting.put_back(attempt)
            return
        host.run(attempt)
        reason = attempt.stop.reason
        if reason is not None:  # asked for while it was placed
            host.stop(attempt.job, type(reason).__name__, str(reason))

    # -- what hosts say, in the threads that read their links

    def _over(self, host: HostProcess, job: str, left: bool) -> None:
        with self._lock:
            attempt = host.attempts.pop(job, None)
            host.stuck.discard(job)
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
            for attempt in self._waiting.take_all():
                attempt.fall_back()
            return
        self._start_missing()
        self._place()
        for attempt in self._waiting.take_stopped():
            attempt.conclude()

    def _look_at(self, host: HostProcess) -> None:
        host.link.flush()
        if not host.ready:
            failure = find_failure(host, clock=self._clock)
            if failure is not None:
                self._drop(host)
                self._starts.failed(failure)
            elif host.has_loaded:
                self._take_up(host)
            return
        fault = find_fault(host, clock=self._clock)
        if fault is not None:
            self._replace(host, fault)
        elif host.lone and not host.attempts:
            self._drop(host)

    def _take_up(self, host: HostProcess) -> None:
        """A host has loaded the app."""
        self._starts.succeeded()
        host.ready = True
        logger.info("task host %d is ready after %.1f s", host.pid, self._clock() - host.started_at)
        attempt = self._waiting.take(alone=True) if host.lone else None
        if attempt is not None:
            self._run(host, attempt)

    # -- starting and ending

    def _start_missing(self) -> None:
        if not self._needed:
            return
        with self._lock:
            lone = [host for host in self._hosts if host.lone]
            missing = self._count - (len(self._hosts) - len(lone))
        loading = sum(not host.ready for host in lone)
        wanted = min(self._waiting.count(alone=True), LOADING) - loading
        for _ in range(missing):
            self._start(lone=False)
        for _ in range(min(wanted, self._lone - len(lone))):
            self._start(lone=True)

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
            self._starts.failed(Failure(f"cannot start a process: {error.strerror}"))
            return
        with self._lock:
            self._hosts.append(host)
        host.load(level=self._level)

    def _replace(self, host: HostProcess, fault: Fault) -> None:
        """End what is left of a host. Its jobs go on elsewhere; one that was alone is to blame."""
        jobs = ", ".join([*host.attempts][:5]) or "none"
        what = "has died" if fault.died else "is replaced"
        logger.error("task host %d %s: %s; jobs there: %s", host.pid, what, fault.reason, jobs)
        self._drop(host)
        self._replaced += 1
        with self._lock:
            attempts, host.attempts = list(host.attempts.values()), {}
        for attempt in reversed(attempts):
            guilty = attempt.job in fault.guilty
            blame = fault.reason if guilty and len(attempts) == 1 else None
            attempt.lose(blame=blame, innocent=blame is None and not fault.died)
            attempt.deaths += fault.died and guilty
            if attempt.stop.reason is not None:
                attempt.conclude()
            else:
                attempt.alone = attempt.is_suspect()
                self._waiting.put_back(attempt)

    def _drop(self, host: HostProcess) -> None:
        """Kill it, and forget it; nothing is said over its link from here on."""
        host.end()
        with self._lock:
            self._hosts.remove(host)

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
