"""Real threads, locks and waits, the same under gevent, gthread and plain Python.

Under gevent's monkey patching `threading` makes greenlets of one thread. Jobs and the log's
writer need real threads, and readers are greenlets that must be woken from them. Nothing
above this module imports gevent or `_thread`.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module
from typing import Any, Protocol, TypeVar, cast

T = TypeVar("T")
logger = logging.getLogger(__name__)


def original(module: str, name: str) -> Any:
    """The attribute as it was before gevent's patching, whether or not that has happened."""
    if "gevent.monkey" in sys.modules:
        from gevent.monkey import get_original

        return get_original(module, name)
    return getattr(import_module(module), name)


_get_ident: Callable[[], int] = original("_thread", "get_ident")
_allocate_lock = original("_thread", "allocate_lock")
_start_new_thread = original("_thread", "start_new_thread")
_sleep: Callable[[float], None] = original("time", "sleep")

#: Identities of the real threads in which no greenlet but the thread's own runs.
_native: set[int] = set()


_patched = False


def patched() -> bool:
    """Whether gevent has replaced `threading` in this process."""
    global _patched
    if not _patched and "gevent.monkey" in sys.modules:  # once it is, it stays so
        from gevent.monkey import is_module_patched

        _patched = bool(is_module_patched("threading"))
    return _patched


def in_greenlet() -> bool:
    """Whether to wait here means to let other greenlets of this thread run."""
    return patched() and _get_ident() not in _native


def current() -> object:
    """The calling greenlet or thread: equal to itself alone, as long as it lives."""
    return _gevent("getcurrent")() if in_greenlet() else _get_ident()


def native_lock() -> Any:
    """A lock between real threads. Hold it for microseconds; never wait, log or switch under it."""
    return _allocate_lock()


@cache
def _gevent(name: str) -> Any:
    """A name of gevent's, which is imported where there are greenlets only."""
    return getattr(import_module("gevent"), name)


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
        self._lock = _allocate_lock()
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


class _GreenletWaker:
    __slots__ = ("_expired", "_sleeper", "awake", "hub", "ident")

    def __init__(self) -> None:
        self.hub = _gevent("get_hub")()
        self.ident = _get_ident()
        self.awake = False
        self._sleeper: Any = None
        self._expired = False

    def wake(self) -> None:
        if self.awake:
            return
        self.awake = True
        if _get_ident() == self.ident:
            self.hub.loop.run_callback(self.fire)
        else:
            self.hub.loop.run_callback_threadsafe(self.fire)

    def wait(self, timeout: float | None = None) -> bool:
        if not self.awake and (timeout is None or timeout > 0):
            self._expired = False
            timer = None if timeout is None else self.hub.loop.timer(timeout)
            self._sleeper = _gevent("getcurrent")()
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
    ident = _get_ident()
    groups: dict[Any, list[_GreenletWaker]] = {}
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


class Latch:
    """Opens once; any number of threads and greenlets wait for it."""

    __slots__ = ("_lock", "_wakers", "is_open")

    def __init__(self) -> None:
        self._lock = native_lock()
        self._wakers: list[Waker] = []
        self.is_open = False

    def open(self) -> None:
        """Open it; all who wait go on. Opening it again does nothing."""
        with self._lock:
            self.is_open = True
            wakers, self._wakers = self._wakers, []
        wake_all(wakers)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is open, `timeout` seconds at most. Whether it is open."""
        until = None if timeout is None else time.monotonic() + timeout
        waker = make_waker()
        with self._lock:
            if self.is_open:
                return True
            self._wakers.append(waker)
        while not self.is_open:
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                break
            waker.wait(left)
        with self._lock:
            if waker in self._wakers:
                self._wakers.remove(waker)
        return self.is_open


class Mutex:
    """A lock that may be held across a wait, by threads and greenlets; first come, first served."""

    __slots__ = ("_held", "_lock", "_queue")

    def __init__(self) -> None:
        self._lock = native_lock()
        self._held = False
        self._queue: list[Waker] = []

    def __enter__(self) -> None:
        if self._take_at_once():
            return
        waker = make_waker()
        with self._lock:
            self._queue.append(waker)
        self._wake_head()  # it may have become free meanwhile
        try:
            self._wait_for_turn(waker)
        except BaseException:  # killed while it waits: the next one's turn comes
            with self._lock:
                self._queue.remove(waker)
            self._wake_head()
            raise

    def __exit__(self, *exc: object) -> None:
        with self._lock:
            self._held = False
            waited_for = bool(self._queue)
        if waited_for:
            self._wake_head()

    def _take_at_once(self) -> bool:
        with self._lock:
            if self._held or self._queue:
                return False
            self._held = True
            return True

    def _wait_for_turn(self, waker: Waker) -> None:
        while True:
            waker.wait()
            with self._lock:
                if not self._held and self._queue[0] is waker:
                    self._held = True
                    self._queue.pop(0)
                    return

    def _wake_head(self) -> None:
        with self._lock:
            head = self._queue[0] if self._queue else None
        if head is not None:
            head.wake()


class Thread:
    """A real, named daemon thread, also where gevent has patched `threading`."""

    def __init__(self, target: Callable[[], object], *, name: str) -> None:
        self.name = name
        self._target = target
        self._done = Latch()

    def start(self) -> Thread:
        if patched():
            _start_new_thread(self._run, ())
        else:
            threading.Thread(target=self._run, name=self.name, daemon=True).start()
        return self

    def join(self, timeout: float | None = None) -> bool:
        """Wait for its end; whether it has ended."""
        return self._done.wait(timeout)

    @property
    def alive(self) -> bool:
        return not self._done.is_open

    def _run(self) -> None:
        native = patched()
        ident = _get_ident()
        if native:
            _native.add(ident)
            threading.current_thread().name = self.name
        try:
            self._target()
        except Exception:  # the top of a thread: nobody else would hear of it
            logger.exception("thread %s ended with an error", self.name)
        finally:
            if native:
                _native.discard(ident)
                _close_event_loop()
            self._done.open()


def _close_event_loop() -> None:
    """End the event loop that patched sockets have given this thread: it holds descriptors."""
    from gevent._hub_local import get_hub_if_exists

    hub = get_hub_if_exists()
    if hub is not None:
        hub.destroy(destroy_loop=True)


def pause() -> None:
    """Let the other greenlets or threads run."""
    if in_greenlet():
        _gevent("sleep")(0)
    else:
        _sleep(0)


def native_sleep(seconds: float) -> None:
    """Put a real thread to sleep: in a greenlet, all others would sleep as well."""
    if seconds > 0:
        _sleep(seconds)


def offload(call: Callable[[], T]) -> T:
    """Run a call that blocks on a disk, off the event loop where there is one."""
    if not in_greenlet():
        return call()
    from gevent import get_hub

    value, error = get_hub().threadpool.apply(_as_native, (call,))
    if error is not None:
        raise error
    return cast(T, value)


def _as_native(call: Callable[[], T]) -> tuple[T | None, BaseException | None]:
    """The result or the error of a call: gevent would print an error that leaves its thread."""
    _native.add(_get_ident())
    try:
        return call(), None
    except BaseException as error:  # noqa: BLE001 - the caller raises it
        return None, error


def spawn_greenlet(target: Callable[[], object]) -> bool:
    """Run `target` as a greenlet of the event loop, from any thread; False without one."""
    if _loop is None:
        return False
    from gevent import spawn

    if _get_ident() == _loop[0]:
        spawn(target)
    else:
        _loop[1].loop.run_callback_threadsafe(spawn, target)
    return True


def call_soon(call: Callable[[], object]) -> None:
    """Run `call`, which must not block, in the event loop; from any thread."""
    assert _loop is not None
    if _get_ident() == _loop[0]:
        _loop[1].loop.run_callback(call)
    else:
        _loop[1].loop.run_callback_threadsafe(call)


def call_later(seconds: float, call: Callable[[], object]) -> None:
    """Run `call` in the event loop after some seconds; from its own thread."""
    from gevent import spawn_later

    spawn_later(seconds, call)


def has_event_loop() -> bool:
    """Whether greenlets can be spawned."""
    return _loop is not None


def loop_delay(timeout: float) -> float:
    """Seconds until the event loop runs a call, `timeout` at the most; 0 where there is none.

    For real threads.
    """
    if _loop is None:
        return 0.0
    ran, began = Latch(), time.monotonic()
    _loop[1].loop.run_callback_threadsafe(ran.open)
    ran.wait(timeout)
    return time.monotonic() - began


_loop: tuple[int, Any] | None = None


def adopt_event_loop() -> None:
    """Remember the calling thread's event loop as the one for greenlets; called once, at start."""
    global _loop
    if in_greenlet():
        from gevent import get_hub

        _loop = (_get_ident(), get_hub())
