"""A job's leases: requested, waited for in order, reported, and given back."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from streaming.concurrency.stop_signal import StopSignal
from streaming.concurrency.waking import make_waker
from streaming.errors import TaskError
from streaming.events.vocabulary import JsonObject
from streaming.storage.leases import Leases

#: Seconds between checks of the place in the queue when no change is announced.
LOOK_S = 5.0


class Holding:
    """The leases of one attempt. `release` belongs in a `finally`."""

    def __init__(
        self,
        leases: Leases,
        job: str,
        needs: Mapping[str, int],
        tell: Callable[[str, list[JsonObject]], None],
    ) -> None:
        """`tell` gets a sentence, and each lease with its state and place."""
        self._leases = leases
        self._job = job
        self._needs = needs
        self._tell = tell

    def acquire(self, stop: StopSignal) -> None:
        """Wait for all of them. `TaskError` when a pool is too small; a stop ends the wait."""
        if not self._needs:
            return
        try:
            self._leases.request(self._job, self._needs)
        except ValueError as error:
            raise TaskError(str(error), code="resource_too_small") from error
        waker = make_waker()
        with stop.closing(waker.wake):
            while (position := self._leases.position(self._job)) > 0:
                self._say("waiting", position)
                while self._leases.position(self._job) == position:
                    self._leases.wait(self._job, position, LOOK_S, waker)
                    stop.check()
        self._say("held", 0)

    def release(self) -> None:
        """Give all back, or wait no more."""
        if self._needs:
            self._leases.release(self._job)

    def _say(self, state: str, position: int) -> None:
        names = " and ".join(self._needs)
        message = f"waits for {names}, position {position}" if position else f"holds {names}"
        told = [
            {"resource": name, "units": units, "state": state, "position": position}
            for name, units in self._needs.items()
        ]
        self._tell(message, told)
