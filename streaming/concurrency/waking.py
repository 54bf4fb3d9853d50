"""Wakers: one waits in its thread or greenlet, any thread wakes it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from streaming.concurrency.platform import allocate_lock, get_ident, gevent_name, in_greenlet

if TYPE_CHECKING:
    from gevent.hub import Hub


class Wakeable(Protocol):
    """Whatever may be woken."""

    def wake(self) -> None:
        """From any thread; never blocks."""


class Waker(Wakeable, Protocol):
    """Wakes the one thread or greenlet that made it. A wake is kept until a wait takes it."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for a wake, `timeout` seconds at most. False when none came."""


class _ThreadWaker:
    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._lock.acquire()

    def wake(self) -> None:
        # Released twice means that the wake before was not taken yet: one is enough.
        try:
            self._lock.release()
        except RuntimeError:
            return

    def wait(self, timeout: float | None = None) -> bool:
        if timeout is None:
            return bool(self._lock.acquire())
        return bool(self._lock.acquire(timeout=max(0.0, timeout)))


class _Greenlet(Protocol):
    def switch(self) -> object: ...


class _GreenletWaker:
    __slots__ = ("_expired", "_sleeper", "awake", "hub", "ident")

    def __init__(self) -> None:
        self.hub: Hub = gevent_name("get_hub")()
        self.ident = get_ident()
        self.awake = False
        self._sleeper: _Greenlet | None = None
        self._expired = False

    def wake(self) -> None:
        if self.awake:
            return
        self.awake = True
        if get_ident() == self.ident:
            self.hub.loop.run_callback(self.fire)
        else:
            self.hub.loop.run_callback_threadsafe(self.fire)

    def wait(self, timeout: float | None = None) -> bool:
        if not self.awake and (timeout is None or timeout > 0):
            self._expired = False
            timer = None if timeout is None else self.hub.loop.timer(timeout)
            self._sleeper = gevent_name("getcurrent")()
            try:
                if timer is not None:
                    timer.start(self._expire, update=True)
                # The timer's word counts, not a clock's: it fires once, perhaps a little early.
                while not self._is_over():
                    self.hub.switch()
            finally:
                self._sleeper = None
                if timer is not None:
                    timer.stop()
                    timer.close()
        taken, self.awake = self.awake, False
        return taken

    def _is_over(self) -> bool:
        return self.awake or self._expired

    def _expire(self) -> None:
        self._expired = True
        self.fire()

    def fire(self) -> None:
        if self._sleeper is not None:
            self._sleeper.switch()


def make_waker() -> Waker:
    """A waker for the calling thread or greenlet, the only one that may wait on it."""
    return _GreenletWaker() if in_greenlet() else _ThreadWaker()


def wake_all(wakers: Iterable[Wakeable]) -> None:
    """Wake each; greenlets of another thread cost one signal to that thread together."""
    ident = get_ident()
    groups: dict[Hub, list[_GreenletWaker]] = {}
    for waker in wakers:
        if not isinstance(waker, _GreenletWaker) or waker.ident == ident:
            waker.wake()
        elif not waker.awake:
            waker.awake = True
            groups.setdefault(waker.hub, []).append(waker)

    for hub, group in groups.items():
        hub.loop.run_callback_threadsafe(_fire_all, group)


def _fire_all(group: list[_GreenletWaker]) -> None:
    for waker in group:
        waker.fire()
