"""The event loop of a gevent process: greenlets and calls from any thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from streaming.concurrency.locks import Latch
from streaming.concurrency.platform import get_ident, in_greenlet

if TYPE_CHECKING:
    from gevent.hub import Hub


def spawn_greenlet(target: Callable[[], object]) -> bool:
    """Run `target` as a greenlet of the event loop, from any thread; False without one."""
    if _loop is None:
        return False
    from gevent import spawn

    if get_ident() == _loop[0]:
        spawn(target)
    else:
        _loop[1].loop.run_callback_threadsafe(spawn, target)
    return True


def call_soon(call: Callable[[], object]) -> None:
    """Run `call`, which must not block, in the event loop; from any thread."""
    assert _loop is not None
    if get_ident() == _loop[0]:
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
    """Seconds until the event loop runs a call, `timeout` at most; 0 where there is none.

    For real threads.
    """
    if _loop is None:
        return 0.0
    ran, began = Latch(), time.monotonic()
    _loop[1].loop.run_callback_threadsafe(ran.open)
    ran.wait(timeout)
    return time.monotonic() - began


_loop: tuple[int, Hub] | None = None


def adopt_event_loop() -> None:
    """Remember the calling thread's event loop as the one for greenlets; called once, at start."""
    global _loop
    if in_greenlet():
        from gevent import get_hub

        _loop = (get_ident(), get_hub())
