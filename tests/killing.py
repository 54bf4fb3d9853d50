"""Ends threads of this process from outside: what no input should do, done all the same."""

from __future__ import annotations

import ctypes
import threading

from tests.threads import eventually


class Killed(BaseException):
    """Nobody catches it."""


def kill(name: str) -> None:
    """Have the newest thread of that name raise at its next line, and wait for its end."""
    *_, thread = [each for each in threading.enumerate() if each.name == name]
    ident = thread.ident
    assert ident is not None
    raised = ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(ident), ctypes.py_object(Killed)
    )
    assert raised == 1
    eventually(lambda: not thread.is_alive())
