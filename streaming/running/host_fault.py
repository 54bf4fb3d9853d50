"""Why a task host that runs attempts is to be replaced, if it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from streaming.errors import Interrupted
from streaming.running.host_process import HostProcess, how_it_ended

#: Seconds after a stop, in which a host must have ended the job or said that its code hangs.
ANSWER_S = 6.0
#: Seconds for which a host has nothing to do but to wait for stuck threads, before it is replaced.
IDLE_S = 1.0


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and with which jobs it has to do."""

    reason: str
    guilty: frozenset[str]
    #: Whether the process has ended by itself: then its jobs lose an attempt by it.
    died: bool = False


def find_fault(host: HostProcess, *, clock: Callable[[], float] = time.monotonic) -> Fault | None:
    """What is wrong with a host that is ready; for the thread that watches it."""
    jobs = frozenset(host.attempts)
    code = host.died()
    if code is not None:
        return Fault(how_it_ended(code), jobs - host.stuck, died=True)
    if host.stopped():
        return Fault("it was stopped", frozenset())
    if host.silent():
        return Fault("it neither speaks nor computes", jobs)
    now = clock()
    overdue = _overdue(host, now)
    if overdue:
        return Fault("it does not answer", overdue)
    if not host.stuck or not host.stuck >= jobs:  # something runs there
        host.idle_since = None
        return None
    host.idle_since = host.idle_since or now
    if now - host.idle_since > IDLE_S:
        return Fault(f"{len(host.stuck)} of its threads are stuck", frozenset(host.stuck))
    return None


def _overdue(host: HostProcess, now: float) -> frozenset[str]:
    """Jobs that were stopped, and of which the host has not told what became of them."""
    return frozenset(
        job
        for job, attempt in list(host.attempts.items())
        if job not in host.stuck
        and attempt.stop.set_at is not None
        and not isinstance(attempt.stop.reason, Interrupted)
        and now - attempt.stop.set_at > ANSWER_S
    )
