"""What gevent has patched, and what it was before.

Under gevent's monkey patching `threading` makes greenlets of one thread. Jobs and the log's
writer need real threads, and readers are greenlets that must be woken from them. Nothing
outside this package imports gevent or `_thread`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from threading import Lock


def original(module: str, name: str) -> Any:
    """The attribute as it was before gevent's patching, whether or not that has happened."""
    if "gevent.monkey" in sys.modules:
        from gevent.monkey import get_original

        return get_original(module, name)
    return getattr(import_module(module), name)


get_ident: Callable[[], int] = original("_thread", "get_ident")


allocate_lock: Callable[[], Lock] = original("_thread", "allocate_lock")


start_new_thread = original("_thread", "start_new_thread")


_sleep: Callable[[float], None] = original("time", "sleep")


#: Identities of the real threads in which no greenlet but the thread's own runs.
native_idents: set[int] = set()


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
    return patched() and get_ident() not in native_idents


def current() -> object:
    """The calling greenlet or thread: equal to itself alone, as long as it lives."""
    return gevent_name("getcurrent")() if in_greenlet() else get_ident()


def forks() -> int:
    """How many forks this process is away from the one that was started: `getpid` without a call
    of the system, for those who ask at each event."""
    return _forks


_forks = 0


def _count_fork() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_count_fork)


def native_lock() -> Lock:
    """A lock between real threads. Hold it for microseconds; never wait, log or switch under it."""
    return allocate_lock()


@cache
def gevent_name(name: str) -> Any:
    """A name of gevent's, which is imported where there are greenlets only."""
    return getattr(import_module("gevent"), name)


def pause() -> None:
    """Let the other greenlets or threads run."""
    if in_greenlet():
        gevent_name("sleep")(0)
    else:
        _sleep(0)


def native_sleep(seconds: float) -> None:
    """Put a real thread to sleep: in a greenlet, all others would sleep as well."""
    if seconds > 0:
        _sleep(seconds)
