"""Rates: how many requests an owner may make in a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import limits
from limits.storage import MemoryStorage, RedisStorage, Storage
from limits.strategies import SlidingWindowCounterRateLimiter

from streaming.config import Settings
from streaming.errors import TooMany

logger = logging.getLogger(__name__)

#: Seconds for which nothing is counted after a failure of the counters' storage.
AWAY_S = 5.0
#: Limits by what is counted.
Rule = list[limits.RateLimitItem]


class Rates:
    """Counts in Redis where the log is there, for all processes, else in this process.

    A storage of counters that is away lets everything pass: it must not stop the work.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.time) -> None:
        self._rules: dict[str, Rule] = {
            "submits": _rule(settings.rate_submits),
            "requests": _rule(settings.rate_requests),
        }
        self._settings = settings
        self._clock = clock
        self._limiter: SlidingWindowCounterRateLimiter | None = None
        self._away_until = 0.0

    def check(self, what: str, owner: str) -> None:
        """Count one of `submits` or `requests`; `TooMany` says when there is room again."""
        for rule in self._rules[what]:
            if not self._hit(rule, owner, what):
                raise TooMany(
                    f"more {what} than {rule} (STREAMING_RATE_{what.upper()})",
                    code="rate_exceeded",
                    retry_after_s=self._wait_s(rule, owner, what),
                )

    def allows(self, what: str, owner: str) -> bool:
        """The same for who cannot be told by a status."""
        return all(self._hit(rule, owner, what) for rule in self._rules[what])

    def _hit(self, rule: limits.RateLimitItem, *names: str) -> bool:
        if self._away_until > self._clock():
            return True
        try:
            return self._counters().hit(rule, *names)
        except Exception as error:  # noqa: BLE001 - a driver's, whichever it is
            self._away_until = self._clock() + AWAY_S
            logger.warning("requests are not counted for %d s: %s", AWAY_S, error)
            return True

    def _wait_s(self, rule: limits.RateLimitItem, *names: str) -> float:
        try:
            reset_at = self._counters().get_window_stats(rule, *names).reset_time
        except Exception as error:  # noqa: BLE001 - as above
            logger.warning("the wait is a guess: %s", error)
            return float(rule.get_expiry())
        return max(1.0, reset_at - self._clock())

    def _counters(self) -> SlidingWindowCounterRateLimiter:
        if self._limiter is None:
            self._limiter = SlidingWindowCounterRateLimiter(_storage(self._settings))
        return self._limiter


def _rule(text: str) -> Rule:
    return limits.parse_many(text) if text else []


def _storage(settings: Settings) -> Storage:
    if not settings.shared:
        return MemoryStorage()
    from streaming.storage.redis.connection import Server

    pool = Server(settings.log_url, verify=settings.redis_verify).shared().connection_pool
    return RedisStorage(settings.log_url, connection_pool=pool, key_prefix="streaming:rates")
