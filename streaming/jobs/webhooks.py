"""Webhooks: makes the calls that are in the outbox, until their receivers have taken them."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from http.client import HTTPException
from urllib.parse import urlsplit

from urllib3.exceptions import HTTPError

from streaming.concurrency.periodic import Periodic
from streaming.concurrency.threads import Thread
from streaming.errors import StreamingError
from streaming.jobs.posting import Posting
from streaming.jobs.receivers import Receivers, Refused
from streaming.storage.base import Storage
from streaming.storage.outbox import Call

logger = logging.getLogger(__name__)

#: Seconds between two looks at the outbox.
TICK_S = 0.5
#: Seconds that a receiver has to answer.
TIMEOUT_S = 10.0
#: Calls under way at once, and of those to one host.
PARALLEL, PER_HOST = 16, 4
#: Calls looked at in one go: those behind the calls to a host that is slow come to their turn, too.
LOOK_AHEAD = 100
#: Seconds before a call is tried again; doubled with each try, up to the longest.
FIRST_S, LONGEST_S = 1.0, 3600.0
#: Seconds from its event after which a call is given up.
LASTS_S = 86400.0
#: Seconds for which `stop` waits for calls under way; the next process makes them again.
LEAVE_S = 0.5
#: "Gone": the receiver wants no more.
GONE = 410


@dataclass(slots=True)
class _UnderWay:
    """A call that is being made, or whose outcome is not stored yet."""

    call: Call
    host: str
    posting: Posting
    #: When it is cut, on the monotonic clock.
    until: float
    thread: Thread | None = None
    #: What is to be done with it in the outbox, when it has been made.
    outcome: Callable[[], None] | None = None


class Webhooks:
    """Owns the thread that looks at the outbox, and one for each call under way.

    Of the processes on one storage one makes the calls. A call is made at least once, and again
    with the same id until it is taken (2xx), refused for good (410), or a day old.
    """

    def __init__(
        self,
        storage: Storage,
        receivers: Receivers,
        keys: Callable[[], Sequence[bytes]],
        *,
        now: Callable[[], float] = time.time,
        timeout_s: float = TIMEOUT_S,
        first_s: float = FIRST_S,
        look_s: float = TICK_S,
    ) -> None:
        """`keys` sign the calls; they are asked for with the first one.

        `look_s`: seconds between two looks at the outbox.
        """
        self._storage = storage
        self._receivers = receivers
        self._keys = keys
        self._now = now
        self._timeout_s = timeout_s
        self._first_s = first_s
        self._under_way: dict[str, _UnderWay] = {}
        #: Looks for what is due, and for what has come of calls.
        self.loop = Periodic(self.look, every_s=look_s, name="webhooks", at_once=True)

    def start(self) -> None:
        if self._storage.outbox is not None:
            self.loop.start()

    def stop(self) -> None:
        """End it; calls under way have a moment to be taken, the others are made later."""
        self.loop.stop()
        self._leave()

    def look(self) -> None:
        """Store what has come of calls, cut those that take too long, begin those that are due."""
        outbox = self._storage.outbox
        if outbox is None:
            return
        self._settle()
        for each in self._waiting():
            if each.until <= time.monotonic():
                each.posting.cut()
        room = PARALLEL - len(self._under_way)
        if room <= 0 or not self._storage.turn("webhooks"):
            return
        now = self._now()
        for call in outbox.due(now, limit=LOOK_AHEAD + len(self._under_way)):
            if call.id in self._under_way or room <= 0:
                continue
            host = str(urlsplit(call.url).hostname)
            if sum(each.host == host for each in self._under_way.values()) >= PER_HOST:
                # So that it does not hide those behind it.
                outbox.put_off(call, now + self._timeout_s * random.uniform(0.5, 1))
                continue
            self._begin(call, host)
            room -= 1

    def _begin(self, call: Call, host: str) -> None:
        posting = Posting(call, timeout_s=self._timeout_s)
        made = _UnderWay(call, host, posting, time.monotonic() + self._timeout_s)
        made.thread = Thread(partial(self._make, made), name="webhook-call")
        made.thread.start()
        self._under_way[call.id] = made

    def _make(self, made: _UnderWay) -> None:
        """Make a call, in a thread of its own."""
        call, wait_s = made.call, 0.0
        try:
            receiver = self._receivers.find(call.url)
            status, wait_s = made.posting.send(receiver, self._keys(), self._now())
            why = f"it answered {status}"
        except (OSError, HTTPError, HTTPException, Refused, StreamingError) as error:
            status, why = 0, str(error) or type(error).__name__
        except Exception as error:  # of one receiver: the others must be called
            logger.exception("webhook %s cannot be called", call.id)
            status, why = 0, type(error).__name__
        made.outcome = self._outcome(call, status, why, wait_s)
        self.loop.wake()

    def _outcome(self, call: Call, status: int, why: str, wait_s: float) -> Callable[[], None]:
        """What the answer means for the outbox."""
        outbox = self._storage.outbox
        assert outbox is not None
        if 200 <= status < 300:
            return partial(outbox.drop, call)
        if status == GONE:
            logger.info("webhook %s: its receiver wants no more of job %s", call.id, call.job)
            return partial(outbox.refuse, call)
        tried = replace(call, tries=call.tries + 1)
        pause_s = min(LONGEST_S, self._first_s * 2 ** min(call.tries, 16)) * random.uniform(0.5, 1)
        again = self._now() + max(pause_s, min(wait_s, LONGEST_S))
        if again > call.made_at + LASTS_S:
            logger.warning("webhook %s is given up after %d tries: %s", call.id, tried.tries, why)
            return partial(outbox.drop, call)
        log = logger.warning if tried.tries == 1 else logger.debug
        log("webhook %s to %s failed, and is tried again: %s", call.id, _shown(call), why)
        return partial(outbox.put_off, tried, again)

    @property
    def under_way(self) -> int:
        """How many calls are being made, or wait for their outcome to be stored."""
        return len(self._under_way)

    def _settle(self) -> None:
        """Store the outcomes; what storage does not take now is kept, and not made again."""
        for each in list(self._under_way.values()):
            if each.outcome is not None:
                each.outcome()
                del self._under_way[each.call.id]

    def _waiting(self) -> list[_UnderWay]:
        return [each for each in self._under_way.values() if each.outcome is None]

    def _leave(self) -> None:
        """Wait for the calls under way, cut what is left, store what has come of them."""
        self._join(LEAVE_S)
        for each in self._waiting():
            each.posting.cut()
        self._join(LEAVE_S)
        try:
            self._settle()
        except StreamingError as error:
            logger.warning("some webhooks will be called again: %s", error.detail)

    def _join(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        for each in self._waiting():
            assert each.thread is not None
            each.thread.join(max(0.0, until - time.monotonic()))


def _shown(call: Call) -> str:
    """The receiver without its path and query, which may hold secrets."""
    parts = urlsplit(call.url)
    return f"{parts.scheme}://{parts.netloc}"
