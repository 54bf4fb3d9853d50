"""What was watched so far: states and positions, of one job or several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from streaming.client.fold import Fold
from streaming.client.follower import Follower
from streaming.client.outcome import position_after
from streaming.client.steps import Stats, Transport
from streaming.client.types import Event, Job
from streaming.events.vocabulary import JsonObject


class Watched:
    """Where a watch is, by the events that it has given."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower
        self._folds: dict[str, Fold] = {}
        #: Of what was given: the follower may have more in hand.
        self._positions = dict(follower.positions)

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

    def _given(self, found: JsonObject) -> Event:
        event = cast("Event", found)
        job = event.get("job")
        if job is not None:
            self._folds.setdefault(job, Fold()).apply(event)
            self._positions[job] = position_after(event, self._positions.get(job, 0))
        return event

    def _ended(self) -> None:
        if not self._follower.left:  # which may have events in hand that were not given
            self._positions = dict(self._follower.positions)
