"""Leases over all processes: each states its jobs' requests, and Redis grants them in order."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from streaming.concurrency.periodic import Periodic
from streaming.concurrency.platform import native_lock
from streaming.concurrency.waking import Waker, wake_all
from streaming.errors import NotFound, StreamingError, Unavailable
from streaming.storage.leases import Leases, Pool
from streaming.storage.redis.keys import Keys
from streaming.storage.redis.link import Link, call
from streaming.storage.redis.scripts import LEASES

logger = logging.getLogger(__name__)

#: Statements of a process within its time-out; maximum seconds between two.
STATEMENTS, STATE_S = 5, 3.0
#: Seconds between two tries while Redis is away.
RETRY_S = 0.25


@dataclass(slots=True)
class _Asked:
    """The request of a job of this process."""

    needs: Mapping[str, int]
    #: Whether Redis has not answered yet: it takes the job over from any process that had it.
    fresh: bool = True
    #: Its place in the queue; None when a later request in another process took it over.
    place: int | None = 0
    #: Once it holds its units, it keeps them until it gives them back, even if Redis forgets.
    held: bool = False


@dataclass(frozen=True, slots=True)
class _View:
    """What all processes have stated, as Redis last answered."""

    places: Mapping[str, int] = field(default_factory=dict)
    #: For each job its process, what it needs, and whether it holds that.
    jobs: Mapping[str, tuple[str, Mapping[str, int], bool]] = field(default_factory=dict)

    @classmethod
    def of(cls, answer: bytes) -> _View:
        jobs = {
            job: (process, json.loads(lease["needs"]), bool(lease["held"]))
            for process, stated in json.loads(answer).items()
            for job, lease in stated["jobs"].items()
        }
        waiting = sorted(job for job, (_, _, held) in jobs.items() if not held)
        places = {job: place for place, job in enumerate(waiting, 1)}
        return cls(dict.fromkeys(jobs, 0) | places, jobs)

    def next_place(self, job: str) -> int:
        """The place that a job would get that is not among them yet."""
        return 1 + sum(place > 0 and other < job for other, place in self.places.items())


class RedisLeases(Leases):
    """One hash for all: a field per process, with what its jobs hold and wait for.

    A process states all of its own at every change and at intervals: that keeps it alive, and
    puts right what Redis has lost. Whoever states first drops those that are gone, and gives
    what is free, in one script. Changes are told on a channel that the process's one
    subscription listens to; a message that is missed is made up for by the next statement.

    While Redis is away, jobs keep what they hold, and wait; after `patience_s` their `position`
    raises `Unavailable`. What is given back then is free when Redis is back.
    """

    def __init__(
        self,
        link: Link,
        keys: Keys,
        *,
        process: str,
        sizes: Mapping[str, int] | None = None,
        timeout_s: float = 10.0,
        patience_s: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`timeout_s`: seconds of silence after which what this process holds is free."""
        self._link = link
        self._keys = keys
        self._process = process
        self._sizes = dict(sizes or {})
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._clock = clock
        self._lock = native_lock()
        self._asked: dict[str, _Asked] = {}
        #: Statements are numbered: an older one that comes late is not taken.
        self._number = 0
        self._seen_number = 0
        self._view = _View()
        #: On `clock`: since when Redis is away.
        self._away_since: float | None = None
        self._wakers: set[Waker] = set()
        self._pause_s = min(STATE_S, timeout_s / STATEMENTS)
        self.loop = Periodic(self._state_again, every_s=self._pause_s, name="redis-leases")

    def start(self) -> None:
        self.loop.start()

    def stop(self) -> None:
        """Give everything back: what a process holds ends with it."""
        self.loop.stop()
        with self._lock:
            known, self._asked = bool(self._asked), {}
        if known:
            self._state_or_later()

    def look(self) -> None:
        """Note that another process has stated something new; never blocks."""
        self.loop.wake()

    def request(self, job: str, needs: Mapping[str, int]) -> None:
        for name, units in needs.items():
            if units > self._sizes.get(name, units):
                raise ValueError(
                    f"{units} units of {name} are needed, there are {self._sizes[name]}"
                )
        with self._lock:
            if job in self._asked:
                return
            self._asked[job] = _Asked(dict(needs))
        self._state_or_later()

    def position(self, job: str) -> int:
        """The place of a job of this process, from the last answer; for others, asks Redis."""
        with self._lock:  # answers are processed under it, as a whole
            asked = self._asked.get(job)
            if asked is not None:
                return self._place(job, asked)
        self.state()
        place = self._view.places.get(job)
        if place is None:
            raise NotFound(f"job {job} waits for no lease")
        return place

    def wait(self, job: str, position: int, timeout: float, waker: Waker) -> None:
        """Woken by the news on the process's subscription, or by its next statement."""
        with self._lock:
            self._wakers.add(waker)
        try:  # watch, then check, then sleep: so no wake-up is lost
            if self.position(job) == position:
                waker.wait(timeout)
        finally:
            with self._lock:
                self._wakers.discard(waker)

    def release(self, job: str) -> None:
        with self._lock:
            known = self._asked.pop(job, None) is not None
        if known:
            self._state_or_later()

    def pools(self) -> Mapping[str, Pool]:
        """The pools of all processes, with this one's sizes. `Unavailable` when Redis is away.

        For a while more may be taken than there is, by a process that was believed dead.
        """
        if not self._sizes:
            return {}
        self.state()
        jobs = self._view.jobs.values()
        return {
            name: Pool(
                total,
                sum(needs.get(name, 0) for _, needs, held in jobs if held),
                sum(name in needs for _, needs, held in jobs if not held),
            )
            for name, total in self._sizes.items()
        }

    def _place(self, job: str, asked: _Asked) -> int:
        if asked.held:
            return 0
        if asked.place is None:
            raise NotFound(f"job {job} was requested by another process since")
        if self._away_since is not None and self._clock() - self._away_since > self._patience_s:
            raise Unavailable(
                f"Redis has been away for {self._patience_s:g} s", code="storage_away"
            )
        return self._view.next_place(job) if asked.fresh else asked.place

    def _state_or_later(self) -> None:
        """State now; while Redis is away, the thread does it as soon as it is back."""
        if self._away_since is None:
            try:
                self.state()
                return
            except StreamingError as error:
                logger.debug("leases are stated later: %s", error.detail)
        self.look()

    def state(self) -> None:
        """State what this process's jobs hold and want, and process the answer."""
        with self._lock:
            self._number += 1
            number, stated = self._number, dict(self._asked)
        jobs = {
            job: {
                "needs": json.dumps(asked.needs, sort_keys=True),
                "held": asked.held,
                "fresh": asked.fresh,
            }
            for job, asked in stated.items()
        }
        sizes, wanted = json.dumps(self._sizes), json.dumps(jobs)
        arguments = (self._process, number, self._timeout_s, sizes, wanted)
        try:
            [answer] = self._link.call(
                call(LEASES, [self._keys.leases], *arguments, self._keys.lease_news)
            )
        except Unavailable:
            with self._lock:
                if self._away_since is None:
                    self._away_since = self._clock()
            raise
        self._take(number, stated, _View.of(answer))

    def _take(self, number: int, stated: Mapping[str, _Asked], view: _View) -> None:
        """Process an answer, unless one to a later statement came first."""
        with self._lock:
            self._away_since = None
            for asked in stated.values():
                asked.fresh = False
            if number < self._seen_number:
                return
            self._seen_number = number
            changed = view.jobs != self._view.jobs
            self._view = view
            for job, asked in stated.items():
                mine = view.jobs.get(job, ("",))[0] == self._process
                asked.place = view.places[job] if mine else None
                asked.held = asked.held or asked.place == 0
            wakers = list(self._wakers) if changed else []
        wake_all(wakers)

    def _state_again(self) -> float:
        """State again, if there is anything to state; seconds until the next time."""
        if self._asked or self._wakers or self._away_since is not None:
            try:
                self.state()
            except StreamingError as error:
                logger.debug("leases are stated later: %s", error.detail)
                return RETRY_S
        return self._pause_s
