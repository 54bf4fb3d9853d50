"""How a client follows jobs over any number of lost connections: what to do next. No I/O.

A `Follower` says what to do (`Open` a stream, `Ask` for a page, `Pause`), and is told what came of
it. The sync client, the async client and recorded exchanges all drive this one algorithm, which
docs/clients.md describes for other languages.
"""

from __future__ import annotations

import json
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from streaming.client.calls import path_of
from streaming.client.errors import ClientError, ProblemError
from streaming.client.sse import SseParser
from streaming.client.steps import (
    ANSWER_S,
    FIRST_S,
    FRUITLESS,
    LONGEST_S,
    PAGE,
    QUIET_S,
    ROUND_S,
    SMALL_PAGE,
    SOON_S,
    TRANSPORTS,
    WAIT_S,
    Ask,
    Open,
    Pause,
    Stats,
    Transport,
)
from streaming.events.vocabulary import TERMINAL, JsonMapping, JsonObject

Envelope = JsonObject


class Follower:
    """Follows jobs, each from its position, to their ends.

    `next` says what to do. Its caller then reports what came of it: for `Open`, `opened` (or
    `nothing`), `take` for each chunk, and `closed`; for `Ask`, `answered`; for either, `failed`.
    What the server refuses for good is raised, and so is the last error when it has not answered
    for `away_s`.
    """

    def __init__(
        self,
        positions: Mapping[str, int],
        *,
        types: Iterable[str] = (),
        transports: Sequence[Transport] = TRANSPORTS,
        away_s: float | None = 120.0,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.positions = dict(positions)
        self.stats = Stats()
        self._going_on = dict.fromkeys(positions)
        self._types = ",".join(types)
        self._transports = tuple(transports)
        self._away_s = away_s
        self._clock = clock
        self._uniform = uniform
        self._feed = len(positions) > 1
        self._at = self._failures = self._fruitless = 0
        self._last_answer = clock()
        self._pause: float | None = None
        #: Jobs to look at, and whether one of them had news; their order in polling.
        self._looks: deque[str] = deque()
        self._looking: str | None = None
        self._news = self._refused = False
        self._turns = deque(positions)
        self._polling: str | None = None
        self._first_poll = True
        self._page = PAGE
        self._asked_at = 0.0
        self._parser = SseParser()
        self._opened = self._fruitful = False
        self._patient = False
        #: Whether the open stream is of no more use, and to be closed.
        self.leaving = False
        #: Whether nothing more is wanted.
        self.left = False

    @property
    def transport(self) -> Transport:
        """The one in use."""
        return self._transports[self._at % len(self._transports)]

    @property
    def over(self) -> bool:
        """Whether all jobs have ended, and everything was given."""
        return not self._going_on

    def next(self) -> Open | Ask | Pause | None:
        """What to do now; None when all is over, or it was left."""
        if self.over or self.left:
            return None
        if self._looks:
            return self._look()
        if self._pause is not None:
            pause, self._pause = Pause(self._pause), None
            return pause
        self.stats.requests += 1
        return self._open() if self.transport == "sse" else self._poll()

    def leave(self) -> None:
        """Nothing more is wanted: what is open is closed at its next sign of life."""
        self.left = self.leaving = True

    # -- a stream

    def opened(self) -> None:
        """The stream's head is there."""
        self._opened = True
        self._heard()

    def nothing(self) -> None:
        """The answer was 204: all jobs have ended, and everything was given."""
        self._heard()
        self._going_on.clear()

    def take(self, chunk: bytes) -> list[Envelope]:
        """The events that a chunk of the stream completes. See `leaving` afterwards."""
        self._heard()
        found: list[Envelope] = []
        for frame in self._parser.feed(chunk):
            if self.leaving:
                break
            if frame.data is None:
                self._move(frame.id)
                continue
            try:
                event = json.loads(frame.data)
                found += self._receive(event)
            except (ValueError, KeyError, TypeError):  # not from our server
                self.leaving = True
        return found

    def closed(self) -> None:
        """The stream has ended, in whatever way, or nothing has come for `quiet_s`."""
        if self.over or self._pause is not None:
            return  # by us: all is there, or the server has said when to come back
        self.stats.failures += 1
        self._failures += 1
        if self._fruitful:
            self._pause = self._backoff()
        else:
            self._look_at_all(refused=not self._opened)

    # -- a page

    def answered(self, page: JsonMapping) -> list[Envelope]:
        """The events of a page of a long poll."""
        self._heard()
        if self._looking is not None:
            return self._looked(page)
        job, self._polling = self._polling, None
        assert job is not None
        found = self._take_page(job, page)
        self._failures = 0
        self._first_poll = False
        self._page = min(2 * self._page, PAGE)
        if not found and job in self._going_on:
            early = self._clock() - self._asked_at < self._poll_wait_s() / 2
            self._pause = self._uniform(1.0, 2.0) if early else None
        return found

    # -- either

    def failed(self, error: ClientError) -> None:
        """There was no answer, or the server refused; raised, where another try is of no use."""
        problem = error if isinstance(error, ProblemError) else None
        if problem is not None and not problem.retryable:
            raise error
        if self._away_s is not None and self._clock() - self._last_answer > self._away_s:
            raise error
        self.stats.failures += 1
        self._failures += 1
        self._first_poll, self._page = True, SMALL_PAGE
        asked_of_stream = self._looking is None and self._polling is None
        self._looks.clear()
        self._looking = self._polling = None
        asked_for = problem.retry_after_s if problem is not None else None
        if asked_for is not None or not asked_of_stream:
            self._pause = max(asked_for or 0.0, self._backoff())
        else:
            self._look_at_all(refused=True)

    # -- private

    def _heard(self) -> None:
        self._last_answer = self._clock()

    def _backoff(self) -> float:
        longest = min(LONGEST_S, SOON_S * 2.0 ** min(20, max(0, self._failures - 1)))
        return longest * self._uniform(0.5, 1.0)

    def _open(self) -> Open:
        self._parser = SseParser()
        self._opened = self._fruitful = False
        self.leaving = self.left
        quiet_s = QUIET_S if not self._patient else 2 * QUIET_S
        if not self._feed:
            [job] = self._going_on
            params = self._query(after=self.positions[job])
            return Open(path_of(job, "events"), params, FIRST_S, quiet_s)
        after = ",".join(f"{job}:{self.positions[job]}" for job in self._going_on)
        params = self._query(job=list(self._going_on), after=after)
        return Open("/events", params, FIRST_S, quiet_s)

    def _poll(self) -> Ask:
        while self._turns[0] not in self._going_on:
            self._turns.popleft()
        job = self._polling = self._turns[0]
        self._turns.rotate(-1)
        wait_s = self._poll_wait_s()
        self._asked_at = self._clock()
        return self._page_of(job, wait_s, self._page)

    def _poll_wait_s(self) -> float:
        if self._first_poll:  # it comes at once, and tells that the way is open
            return 0.0
        going_on = len(self._going_on)
        return WAIT_S if going_on == 1 else round(ROUND_S / going_on, 3)

    def _look(self) -> Ask:
        job = self._looks.popleft()
        self._looking = job
        self.stats.requests += 1
        return self._page_of(job, 0.0, 1)

    def _page_of(self, job: str, wait_s: float, limit: int) -> Ask:
        params = self._query(after=self.positions[job], wait=wait_s, limit=limit)
        return Ask(path_of(job, "poll"), params, wait_s + ANSWER_S)

    def _query(self, **params: str | float | list[str]) -> JsonMapping:
        return {**params, "types": self._types} if self._types else params

    def _look_at_all(self, *, refused: bool) -> None:
        """A stream gave nothing: is there nothing, is it over, or does something swallow it?"""
        self._looks = deque(self._going_on)
        self._news, self._refused = False, refused

    def _looked(self, page: JsonMapping) -> list[Envelope]:
        job, self._looking = self._looking, None
        assert job is not None
        failures, fruitless = self._failures, self._fruitless
        found = self._take_page(job, page)
        self._failures, self._fruitless = failures, fruitless  # it was not the stream that gave it
        self._news = self._news or bool(found)
        if self._news:
            self._looks.clear()  # one is enough to know
        if not self._looks and not self.over:
            self._judge()
        return found

    def _judge(self) -> None:
        if self._news or self._refused:
            self._fruitless += 1
        else:  # quiet on purpose: heartbeats may be rarer than we thought
            self._patient = True
        if self._fruitless >= FRUITLESS and len(self._transports) > 1:
            self._at += 1
            self._fruitless = self._failures = 0
            self._first_poll = True
        else:
            self._pause = self._backoff()

    def _take_page(self, job: str, page: JsonMapping) -> list[Envelope]:
        found = [event for given in page["events"] for event in self._receive(given)]
        self.positions[job] = max(self.positions[job], int(page["next"]))
        if page["closed"]:
            self._going_on.pop(job, None)
        return found

    def _move(self, position: str | None) -> None:
        """A position without an event: how far the stream is in what it leaves out."""
        if not self._types or not position:
            return
        for part in position.split(","):
            job, _, seq = part.rpartition(":")
            job = job or next(iter(self.positions))
            if seq.isdigit() and job in self.positions:
                self.positions[job] = max(self.positions[job], int(seq))

    def _receive(self, event: Envelope) -> list[Envelope]:
        """The event, where it is to be given."""
        kind = event["type"]
        if kind == "stream.closing":
            self.leaving = True
            self._failures = 0
            self._pause = max(float(event["data"]["retry_s"]), self._uniform(0.0, SOON_S))
            return []
        job = event.get("job") or next(iter(self.positions))
        if job not in self._going_on:
            return []
        seq = event.get("seq")
        if seq is not None and not self._advance(job, event, int(seq)):
            return []
        if kind == "stream.gap" and event["data"]["from"] == self.positions[job] + 1:
            self.stats.lost += event["data"]["to"] - event["data"]["from"] + 1
        if kind == "stream.snapshot":
            self.positions[job] = int(event["data"]["seq"])
        self._fruitful = True
        self._failures = self._fruitless = 0
        self.stats.events += 1
        if kind in TERMINAL:
            self._going_on.pop(job, None)
            self.leaving = self.over
        return [event]

    def _advance(self, job: str, event: Envelope, seq: int) -> bool:
        """Whether the event is new."""
        position = self.positions[job]
        if seq <= position:
            self.stats.repeated += 1
            return False
        if not self._types:  # a filter leaves out without a word
            self.stats.lost += max(0, int(event.get("from", seq)) - position - 1)
        self.positions[job] = seq
        return True
