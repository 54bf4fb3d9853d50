"""Viewers of all processes: each process reports its own at short intervals."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Sequence

from streaming.concurrency.periodic import Periodic
from streaming.concurrency.platform import native_lock
from streaming.errors import StreamingError
from streaming.events.vocabulary import JsonObject
from streaming.storage.redis.connection import Command
from streaming.storage.redis.keys import Keys
from streaming.storage.redis.link import Link
from streaming.storage.viewers import SENT_AWAY_S, LocalViewers, Viewer, Viewers

logger = logging.getLogger(__name__)

#: Seconds between two reports of all viewers here and their positions.
TELL_S = 3.0
#: Seconds for which arrivals and departures are collected before a report.
GATHER_S = 0.1
#: Seconds without a report after which a process has no viewers any longer.
SILENT_S = 15.0
#: Seconds for which the time of a job's last departure is remembered.
REMEMBERED_S = 86400
#: Maximum viewers of one job that a process reports; others are counted here only.
NAMED = 1000


class RedisViewers(Viewers):
    """This process's viewers, from memory; those of the others, from their reports.

    A job's hash has a field for each process with viewers, and `left`: when one last said that
    its last viewer had gone. Times are those of the Redis server.
    """

    lag_s = 0.5

    def __init__(
        self,
        link: Link,
        keys: Keys,
        *,
        process: str,
        silent_s: float = SILENT_S,
        sent_away_s: float = SENT_AWAY_S,
    ) -> None:
        """`silent_s`: of silence, after which a process counts as dead.

        `sent_away_s`: for which readers that have not hung up count as there.
        """
        self._link = link
        self._keys = keys
        self._process = process
        self._silent_s = silent_s
        self._sent_away_s = sent_away_s
        self._local = LocalViewers()
        self._lock = native_lock()
        #: Jobs whose viewers have changed since the last report; jobs that have any.
        self._changed: set[str] = set()
        self._told: set[str] = set()
        #: On the monotonic clock: when all are reported again.
        self._all_at = 0.0
        #: Jobs whose viewers were sent away, and until when (epoch seconds) these count as present.
        self._sent_away: dict[str, float] = {}
        self.loop = Periodic(self._look, every_s=TELL_S, gather_s=GATHER_S, name="redis-viewers")

    def start(self) -> None:
        self.loop.start()

    def stop(self) -> None:
        """Report that nobody watches here any longer."""
        self.loop.stop()
        try:
            with self._lock:
                jobs = self._told | self._changed
                for job in filter(self._local.has, jobs):  # its stream has not ended in time
                    self._sent_away[job] = time.time() + self._sent_away_s
            self._link.call(*[self._tell(job, (), self._now()) for job in jobs])
        except StreamingError as error:
            logger.warning("viewers are not signed off: %s", error.detail)

    def enter(self, job: str, transport: str, position: Callable[[], int]) -> str:
        viewer = self._local.enter(job, transport, position)
        with self._lock:
            self._sent_away.pop(job, None)
        self._note(job)
        self.loop.wake()
        return f"{self._process}.{viewer}"

    def leave(self, job: str, viewer: str, *, sent_away: bool = False) -> None:
        self._local.leave(job, viewer.rpartition(".")[2], sent_away=sent_away)
        if sent_away:
            with self._lock:
                self._sent_away[job] = time.time() + self._sent_away_s
        self._note(job)
        self.loop.wake()

    def of(self, job: str) -> list[Viewer]:
        _, others = self._others(job)
        # A newer program may report more members.
        return self.here(job) + [Viewer(*each[:4]) for told in others for each in told["viewers"]]

    def absent_s(self, job: str) -> float:
        if self._local.of(job):
            return 0.0
        now, others = self._others(job)
        if any(told["alive"] for told in others):
            return 0.0
        left = max(
            (told["at"] + told.get("sent_away_s", 0.0) for told in others), default=-math.inf
        )
        return max(0.0, min(now - left, self._local.absent_s(job)))

    def here(self, job: str) -> list[Viewer]:
        return [
            Viewer(f"{self._process}.{v.id}", v.transport, v.since, v.position)
            for v in self._local.of(job)
        ]

    def _others(self, job: str) -> tuple[float, Sequence[JsonObject]]:
        """The server's time, and the reports of the others; silent ones have none."""
        (seconds, micros), found = self._link.call(("TIME",), ("HGETALL", self._keys.viewers(job)))
        now = int(seconds) + int(micros) / 1e6
        others = []
        for name, value in found.items():
            if name.decode() == self._process:
                continue
            try:
                told = json.loads(value)
                told["alive"] = bool(told["viewers"]) and now - told["at"] < self._silent_s
            except (ValueError, TypeError, LookupError) as error:
                logger.debug("what %r tells of job %s cannot be read: %s", name, job, error)
                continue
            if told["viewers"] and not told["alive"]:  # it has died: nobody has hung up
                told["sent_away_s"] = self._silent_s + self._sent_away_s
            if not told["alive"]:
                told["viewers"] = []
            others.append(told)
        return now, others

    def _note(self, job: str) -> None:
        with self._lock:
            self._changed.add(job)

    def _look(self) -> None:
        now = time.monotonic()
        every = now >= self._all_at
        if every:
            self._all_at = now + TELL_S
        self._tell_all(every=every)

    def _tell_all(self, *, every: bool) -> None:
        with self._lock:
            jobs, self._changed = self._changed, set()
        jobs |= self._told if every else set()
        if not jobs:
            return
        try:
            now = self._now()
            commands: list[Command] = []
            for job in jobs:
                viewers = self.here(job)
                commands.append(self._tell(job, viewers, now))
                commands.append(("EXPIRE", self._keys.viewers(job), REMEMBERED_S))
                (self._told.add if viewers else self._told.discard)(job)
            self._link.call(*commands)
        except StreamingError:
            with self._lock:
                self._changed |= jobs
            raise

    def _now(self) -> float:
        """The server's time."""
        [(seconds, micros)] = self._link.call(("TIME",))
        return int(seconds) + int(micros) / 1e6

    def _tell(self, job: str, viewers: Sequence[Viewer], now: float) -> Command:
        named = [[v.id, v.transport, v.since, v.position] for v in viewers[:NAMED]]
        with self._lock:
            away_s = self._sent_away.get(job, 0.0) - time.time()
            if away_s <= 0:
                self._sent_away.pop(job, None)
        told = json.dumps({"at": now, "viewers": named, "sent_away_s": max(0.0, away_s)})
        return ("HSET", self._keys.viewers(job), self._process, told)
