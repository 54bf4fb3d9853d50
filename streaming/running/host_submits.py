"""What a task host submits itself: the serving process queues it and looks after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from streaming import errors
from streaming.errors import Stop
from streaming.running.runner import Load, Runner
from streaming.storage.base import Storage
from streaming.storage.link import Peer
from streaming.storage.rows import JobRow


class LinkRunner(Runner):
    """The runner of the process at the other end of a link."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def start(self) -> None:
        """It runs already."""

    def reserve(self, *, cooperative: bool) -> int:
        return int(self._peer.call("reserve", cooperative))

    def release(self, *, cooperative: bool) -> None:
        self._peer.call("unreserve", cooperative)

    def enqueue(
        self, job: str, *, cooperative: bool, reserved: bool = False, on_trial: bool = False
    ) -> None:
        self._peer.call("enqueue", job, cooperative, reserved, on_trial)

    def stop(self, job: str, reason: Stop) -> bool:
        return bool(self._peer.call("stop", job, type(reason).__name__, str(reason)))

    def knows(self, job: str) -> bool:
        return bool(self._peer.call("knows", job))

    def position(self, job: str) -> int | None:
        place: int | None = self._peer.call("place", job)
        return place

    def load(self) -> Load:
        return Load(*self._peer.call("load"))

    def drain(self, *, finish_s: float, unwind_s: float) -> None:
        """The other end drains by itself."""

    def close(self) -> None:
        """The link is the host's."""


def runner_methods(
    runner: Runner, storage: Storage, accepted: Callable[[JobRow], object]
) -> Mapping[str, Callable[..., object]]:
    """What the other end of `LinkRunner` answers; `accepted` hears of each job that is queued."""

    def enqueue(job: str, cooperative: bool, reserved: bool, on_trial: bool) -> None:
        row = storage.index.get(job)
        if row is not None:
            accepted(row)
        runner.enqueue(job, cooperative=cooperative, reserved=reserved, on_trial=on_trial)

    def load() -> tuple[int, int, int, int]:
        found = runner.load()
        return found.running, found.queued, found.stuck, found.threads

    return {
        "reserve": lambda cooperative: runner.reserve(cooperative=cooperative),
        "unreserve": lambda cooperative: runner.release(cooperative=cooperative),
        "enqueue": enqueue,
        "stop": lambda job, kind, reason: runner.stop(job, getattr(errors, kind)(reason)),
        "knows": runner.knows,
        "place": runner.position,
        "load": load,
    }
