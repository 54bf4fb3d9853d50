"""Pure-Python computing in a child process: it would hold the interpreter lock here."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from streaming.errors import TaskError
from streaming.stopping import StopSignal

T = TypeVar("T")

#: Seconds between looks at a child that says nothing.
POLL_S = 0.05


def compute(stop: StopSignal, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """`function(*args, **kwargs)` in a process of its own; a stop kills it.

    The function must be importable (of a module's top level), its arguments and result picklable.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(
        target=_serve, args=(theirs, function, args, kwargs), name="compute", daemon=True
    )
    child.start()
    theirs.close()
    try:
        with stop.closing(child.kill):
            ok, value = _receive(ours, stop)
    finally:
        child.kill()
        child.join()
        ours.close()
    if not ok:
        raise value
    return value  # type: ignore[no-any-return]


def _receive(pipe: Connection, stop: StopSignal) -> tuple[bool, Any]:
    # Polled, because a wait inside multiprocessing would stop the other greenlets of a task.
    while not pipe.poll(0):
        stop.sleep(POLL_S)
    try:
        ok, value = pipe.recv()
    except EOFError:
        stop.check()
        raise TaskError("the computing process died", code="compute_lost") from None
    return bool(ok), value


def _serve(pipe: Connection, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
    # Platforms signal all processes of a server; the parent decides about this one.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        pipe.send((True, function(*args, **kwargs)))
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent raises it
        pipe.send((False, error))


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
