"""Pure-Python computing in a child process: here it would hold the GIL."""

from __future__ import annotations

import inspect
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from multiprocessing.connection import Connection
from typing import Any, ParamSpec, TypeVar

from streaming.concurrency.stop_signal import StopSignal
from streaming.errors import TaskError

P = ParamSpec("P")
T = TypeVar("T")

#: Seconds between polls of a child that has sent nothing.
POLL_S = 0.05


def compute(stop: StopSignal, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """`function(*args, **kwargs)` in a process of its own; a stop kills it.

    The function must be importable (of a module's top level), its arguments and result picklable.
    Of a generator function: a generator that gives what it yields, and its return value.
    """
    values = _values(stop, function, args, kwargs)
    if inspect.isgeneratorfunction(function):
        return values  # type: ignore[return-value]
    try:
        next(values)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    raise AssertionError("only generators yield")


def _values(
    stop: StopSignal,
    function: Callable[..., T],
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
) -> Generator[object, None, T]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(
        target=_serve, args=(theirs, function, args, kwargs), name="compute", daemon=True
    )
    child.start()
    theirs.close()
    try:
        with stop.closing(child.kill):
            while True:
                kind, value = _receive(ours, stop)
                if kind == "returned":
                    returned: T = value
                    return returned
                if kind == "raised":
                    raise value
                yield value
    finally:
        child.kill()
        child.join()
        ours.close()


def _receive(pipe: Connection, stop: StopSignal) -> tuple[str, Any]:
    # Polled, because a wait inside multiprocessing would stop the other greenlets of a task.
    while not pipe.poll(0):
        stop.sleep(POLL_S)
    try:
        kind, value = pipe.recv()
    except EOFError:
        stop.check()
        raise TaskError("the computing process died", code="compute_lost") from None
    return str(kind), value


def _serve(
    pipe: Connection,
    function: Callable[..., object],
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
) -> None:
    # Platforms signal every process of a server; the parent decides when this one ends.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        result = function(*args, **kwargs)
        if inspect.isgenerator(result):
            result = _pass_on(pipe, result)
        pipe.send(("returned", result))
    except Exception as error:  # noqa: BLE001 - the parent raises it
        pipe.send(("raised", error))


def _pass_on(pipe: Connection, values: Iterator[object]) -> object:
    """Send each value that a generator yields; its return value. Blocks while the pipe is full."""
    while True:
        try:
            pipe.send(("yielded", next(values)))
        except StopIteration as end:
            return end.value


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
