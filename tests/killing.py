"""Ends threads of this process from outside: what no input should do, done all the same."""

from __future__ import annotations

import ctypes

from streaming.concurrency.threads import Thread
from tests.threads import eventually


class Killed(BaseException):
    """Nobody catches it."""


def kill(thread: Thread) -> None:
    """Have the thread raise at its next line, and wait for its end."""
    ident = thread.ident
    assert ident is not None
    raised = ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(ident), ctypes.py_object(Killed)
    )
    assert raised == 1
    eventually(lambda: thread.dead)
