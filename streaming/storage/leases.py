"""Leases of scarce resources: the interface, and those of a single process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from streaming.concurrency.platform import native_lock
from streaming.concurrency.waking import Waker, wake_all
from streaming.errors import NotFound


@dataclass(frozen=True, slots=True)
class Pool:
    """Units of a scarce thing: how many there are, are taken, and jobs that wait for some."""

    total: int
    taken: int
    waiting: int


class Leases(ABC):
    """Which job holds units of the named pools, over all processes.

    Jobs wait in the order of their ids, which is that of submission. A job that needs several
    pools gets them together; a later job that needs the same pool never overtakes it. A pool
    that was not declared has no limit. What a process holds is released when the process ends.
    """

    @abstractmethod
    def request(self, job: str, needs: Mapping[str, int]) -> None:
        """Request units of each pool, to be waited for if they are taken; a repeat does nothing.

        `ValueError` when a pool is smaller than that.
        """

    @abstractmethod
    def position(self, job: str) -> int:
        """0 when the job holds what it has requested, else its place in the queue.

        `NotFound` when it has requested nothing, or a later attempt elsewhere has.
        `Unavailable` when storage has stayed away for as long as appends wait.
        """

    @abstractmethod
    def wait(self, job: str, position: int, timeout: float, waker: Waker) -> None:
        """Wait until the job's position changes, `timeout` seconds, or a wake."""

    @abstractmethod
    def release(self, job: str) -> None:
        """Give back what the job holds, or leave the queue; an unknown job does nothing.

        Never raises: storage that is away learns of it later.
        """

    @abstractmethod
    def pools(self) -> Mapping[str, Pool]:
        """The declared pools, by name. `Unavailable` when storage is away."""


class LocalLeases(Leases):
    """Leases in this process's memory."""

    def __init__(self, sizes: Mapping[str, int] | None = None) -> None:
        self._sizes = dict(sizes or {})
        self._lock = native_lock()
        self._held: dict[str, Mapping[str, int]] = {}
        self._waiting: dict[str, Mapping[str, int]] = {}
        self._wakers: set[Waker] = set()

    def request(self, job: str, needs: Mapping[str, int]) -> None:
        for name, units in needs.items():
            if units > self._sizes.get(name, units):
                raise ValueError(
                    f"{units} units of {name} are needed, there are {self._sizes[name]}"
                )
        with self._lock:
            if job not in self._held and job not in self._waiting:
                self._waiting[job] = dict(needs)
                self._waiting = dict(sorted(self._waiting.items()))
                self._grant()

    def position(self, job: str) -> int:
        with self._lock:
            return self._position(job)

    def wait(self, job: str, position: int, timeout: float, waker: Waker) -> None:
        with self._lock:
            if self._position(job) != position:
                return
            self._wakers.add(waker)
        waker.wait(timeout)
        with self._lock:
            self._wakers.discard(waker)

    def release(self, job: str) -> None:
        with self._lock:
            known = self._held.pop(job, None) is not None
            known = self._waiting.pop(job, None) is not None or known
            if known:
                self._grant()

    def pools(self) -> Mapping[str, Pool]:
        with self._lock:
            return {
                name: Pool(
                    total,
                    self._taken(name),
                    sum(name in needs for needs in self._waiting.values()),
                )
                for name, total in self._sizes.items()
            }

    def _position(self, job: str) -> int:
        if job in self._held:
            return 0
        if job not in self._waiting:
            raise NotFound(f"job {job} waits for no lease")
        return list(self._waiting).index(job) + 1

    def _grant(self) -> None:
        """Grant free units in order; a pool that a job waits for is closed to those after it."""
        wanted: set[str] = set()
        for job, needs in list(self._waiting.items()):
            if wanted.isdisjoint(needs) and all(map(self._fits, needs, needs.values())):
                self._held[job] = self._waiting.pop(job)
            else:
                wanted |= needs.keys()
        wakers, self._wakers = self._wakers, set()
        wake_all(wakers)

    def _fits(self, name: str, units: int) -> bool:
        return name not in self._sizes or self._taken(name) + units <= self._sizes[name]

    def _taken(self, name: str) -> int:
        return sum(needs.get(name, 0) for needs in self._held.values())
