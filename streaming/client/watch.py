"""A watch that blocks: the events of one job or several, as an iterator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self, cast

from streaming.client.fold import Fold
from streaming.client.follower import Follower
from streaming.client.outcome import position_after, result_of
from streaming.client.steps import Stats, Transport
from streaming.client.types import Event, Job

if TYPE_CHECKING:
    from streaming.client.sync import Client


class Watch(Iterator[Event]):
    """Events of one job or several, each once, in order; ends with the jobs.

    For `for event in watch`. Closed at its end, by `close`, or at the end of a `with`.
    """

    def __init__(
        self, client: Client, follower: Follower, events: Iterator[dict[str, Any]]
    ) -> None:
        self._client = client
        self._follower = follower
        self._events = events
        self._folds: dict[str, Fold] = {}
        #: Of what was given: the follower may have more in hand.
        self._positions = dict(follower.positions)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        try:
            event = cast("Event", next(self._events))
        except StopIteration:
            self._positions = dict(self._follower.positions)
            raise
        job = event.get("job")
        if job is not None:
            self._folds.setdefault(job, Fold()).apply(event)
            self._positions[job] = position_after(event, self._positions.get(job, 0))
        return event

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop watching. The job goes on."""
        cast("Any", self._events).close()

    @property
    def id(self) -> str:
        """The job; of several, the first."""
        return next(iter(self._positions))

    @property
    def state(self) -> Job | None:
        """The job's state after the events so far; None before the first."""
        return self.states.get(self.id)

    @property
    def states(self) -> Mapping[str, Job]:
        """The state of each job of which something has come; whole where it was watched from 0."""
        found = {job: fold.job for job, fold in self._folds.items()}
        return {job: state for job, state in found.items() if state is not None}

    @property
    def positions(self) -> Mapping[str, int]:
        """Each job's seq up to which everything was given: `after` for the next time."""
        return dict(self._positions)

    @property
    def transport(self) -> Transport:
        """The one in use."""
        return self._follower.transport

    @property
    def stats(self) -> Stats:
        """What it took so far."""
        return self._follower.stats

    def text(self) -> str:
        """Watch to the end; the job's whole text."""
        return self._end()["text"]

    def result(self) -> Any:
        """Watch to the end; the job's output. `JobFailed` or `JobCancelled` without one."""
        return result_of(self._end())

    def _end(self) -> Job:
        for _ in self:
            continue
        return self._client.wait(self.id)
