"""A watch that blocks: the events of one job or several, as an iterator."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from typing import Any, Self

from streaming.client.follower import Follower
from streaming.client.outcome import result_of
from streaming.client.types import Event, Job
from streaming.client.watched import Watched
from streaming.events.vocabulary import Json, JsonObject


class Watch(Watched, Iterator[Event]):
    """Events of one job or several, each once, in order; ends with the jobs.

    For `for event in watch`. Closed at its end, by `close`, or at the end of a `with`.
    """

    def __init__(
        self,
        follower: Follower,
        events: Generator[JsonObject],
        wait: Callable[[str], Job],
    ) -> None:
        """`wait` gives the snapshot of a job that has ended."""
        super().__init__(follower)
        self._events = events
        self._wait = wait

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        try:
            return self._given(next(self._events))
        except StopIteration:
            self._ended()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop watching. The job goes on. A loop over this watch in another thread ends at the next
        sign of life from the server.
        """
        self._follower.leave()
        with contextlib.suppress(ValueError):  # another thread is in it
            self._events.close()

    def text(self) -> str:
        """Watch to the end; the job's whole text."""
        return self._end()["text"]

    def result(self) -> Json:
        """Watch to the end; the job's output. `JobFailed` or `JobCancelled` without one."""
        return result_of(self._end())

    def _end(self) -> Job:
        for _ in self:
            continue
        return self._wait(self.id)
