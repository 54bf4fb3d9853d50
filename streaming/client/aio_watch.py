"""A watch for asyncio: the events of one job or several, as an async iterator."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Self

from streaming.client.follower import Follower
from streaming.client.outcome import result_of
from streaming.client.types import Event, Job
from streaming.client.watched import Watched
from streaming.events.vocabulary import Json, JsonObject


class AsyncWatch(Watched, AsyncIterator[Event]):
    """Events of one job or several, each once, in order; ends with the jobs.

    For `async for event in watch`. Closed at its end, by `close`, or at the end of an `async with`.
    """

    def __init__(
        self,
        follower: Follower,
        events: AsyncGenerator[JsonObject, None],
        wait: Callable[[str], Awaitable[Job]],
    ) -> None:
        """`wait` gives the snapshot of a job that has ended."""
        super().__init__(follower)
        self._events = events
        self._wait = wait

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        try:
            return self._given(await anext(self._events))
        except StopAsyncIteration:
            self._ended()
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop watching. The job goes on. A loop over this watch in another task ends at the next
        sign of life from the server.
        """
        self._follower.leave()
        with contextlib.suppress(RuntimeError):  # another task is in it
            await self._events.aclose()

    async def text(self) -> str:
        """Watch to the end; the job's whole text."""
        return (await self._end())["text"]

    async def result(self) -> Json:
        """Watch to the end; the job's output. `JobFailed` or `JobCancelled` without one."""
        return result_of(await self._end())

    async def _end(self) -> Job:
        async for _ in self:
            continue
        return await self._wait(self.id)
