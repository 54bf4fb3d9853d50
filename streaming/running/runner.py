"""The interface of a runner."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

from streaming.errors import Stop


@dataclass(frozen=True, slots=True)
class HostFigures:
    """The state of the task hosts."""

    #: Those that run attempts.
    ready: int
    #: How many there should be; 0 once tasks run as threads of their process.
    wanted: int
    #: Whether none has loaded the app so far.
    starting: bool
    #: How many have replaced one that died or hung.
    replaced: int
    #: Why tasks run as threads of their process after all.
    given_up: str | None
    #: Memory of all of them, in bytes.
    rss: float

    @classmethod
    def of_all(cls, figures: Collection[Self]) -> Self | None:
        """The sum over several processes; None if none has any."""
        if not figures:
            return None
        return cls(
            ready=sum(each.ready for each in figures),
            wanted=sum(each.wanted for each in figures),
            starting=all(each.starting for each in figures),
            replaced=sum(each.replaced for each in figures),
            given_up=next((each.given_up for each in figures if each.given_up), None),
            rss=sum(each.rss for each in figures),
        )


@dataclass(frozen=True, slots=True)
class Load:
    """What a runner is doing at present."""

    running: int
    queued: int
    #: Threads whose job was ended without them, because their code did not stop.
    stuck: int
    #: How many jobs may run in threads at once.
    threads: int
    #: The task hosts of this process, or of all workers, where there are any.
    hosts: HostFigures | None = None
    #: Why the other figures are unknown, if they are.
    unknown: str | None = None


class Runner(ABC):
    """Runs jobs, each attempt once, within limits."""

    #: Whether other processes queue and run jobs, too: a job unknown here is not lost.
    shared = False
    #: Whether suspects may run side by side, because each has a process of its own.
    isolates = False

    @abstractmethod
    def start(self) -> None:
        """Run what is enqueued from now on."""

    @abstractmethod
    def reserve(self, *, cooperative: bool) -> int:
        """A place for a new job: 0 = it starts at once, else its position. `TooMany` when full.

        Every place is taken by `enqueue` or given back by `release`.
        """

    @abstractmethod
    def release(self, *, cooperative: bool) -> None:
        """Give a reserved place back."""

    @abstractmethod
    def enqueue(
        self, job: str, *, cooperative: bool, reserved: bool = False, on_trial: bool = False
    ) -> None:
        """Run a stored job when its turn comes; returns at once.

        `on_trial`: it is suspected of having killed its worker, which job.started then says.
        """

    @abstractmethod
    def stop(self, job: str, reason: Stop) -> bool:
        """Stop a job: take it from the queue, or unwind it where it runs. Whether it was queued."""

    @abstractmethod
    def knows(self, job: str) -> bool:
        """Whether the job runs or waits."""

    @abstractmethod
    def position(self, job: str) -> int | None:
        """Its place in the queue, from 1; None when it does not wait."""

    @abstractmethod
    def load(self) -> Load:
        """What it is doing at present."""

    @abstractmethod
    def drain(self, *, finish_s: float, unwind_s: float) -> None:
        """Start nothing more; let jobs finish for `finish_s`, then unwind them for `unwind_s`."""

    @abstractmethod
    def close(self) -> None:
        """Release what it holds, once nothing more is submitted."""

    def dead(self) -> list[str]:
        """Names of its threads that have died: only a new process helps."""
        return []
