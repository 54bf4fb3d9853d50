"""Drives what a task's function has returned to its value: generators and coroutines, too."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterable, Callable, Coroutine

from streaming.concurrency.stop_signal import StopSignal
from streaming.errors import TaskError

#: Takes each string that is yielded.
Say = Callable[[str], object]


def drive(result: object, say: Say, stop: StopSignal) -> object:
    """The value of a generator or coroutine, anything else as it is; a stop unwinds it."""
    if inspect.isgenerator(result):
        with contextlib.closing(result):
            while True:
                try:
                    _say(next(result), say)
                except StopIteration as end:
                    return end.value
    if inspect.iscoroutine(result) or inspect.isasyncgen(result):
        try:
            return asyncio.run(_drive(result, say, stop))
        except asyncio.CancelledError:
            stop.check()
            raise TaskError("the task cancelled itself") from None
    return result


async def _drive(
    result: Coroutine[object, None, object] | AsyncIterable[object], say: Say, stop: StopSignal
) -> object:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    with stop.closing(lambda: loop.call_soon_threadsafe(task.cancel)):
        if not isinstance(result, AsyncIterable):
            return await result
        async for piece in result:
            _say(piece, say)
    return None


def _say(piece: object, say: Say) -> None:
    if not isinstance(piece, str):
        raise TaskError(f"a task yields str, not {type(piece).__name__}", code="invalid_output")
    say(piece)
