"""How the starts of task hosts go: what makes one fail, and after how many none is tried more."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from streaming.running.host_process import HostProcess, how_it_ended, why

logger = logging.getLogger(__name__)

#: Seconds in which a host must have loaded the app, and how often it may fail to.
LOAD_S, FAILURES = 60.0, 2
#: How often it may be killed meanwhile, which need not be the app's fault.
KILLS = 6


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a host could not start, and how often in a row this may happen."""

    reason: str
    most: int = FAILURES


def find_failure(
    host: HostProcess, *, clock: Callable[[], float] = time.monotonic
) -> Failure | None:
    """What is wrong with a host that is not ready yet; for the thread that watches it."""
    code, loaded = host.died(), host.loaded
    if code is not None:
        reason = f"it ended while it loaded the app ({how_it_ended(code)})"
        return Failure(reason, most=KILLS if code < 0 else FAILURES)
    if loaded is None or not loaded.done:
        late = clock() - host.started_at > LOAD_S
        return Failure(f"the app does not load within {LOAD_S:.0f} s") if late else None
    if loaded.error is not None:
        # When the link is over, the process's end, which is seen next, says more.
        return None if host.peer.over.is_open else Failure(why(loaded.error))
    if loaded.value != host.app.digest:
        return Failure("its tasks differ from the server's", most=0)
    return None


class Starts:
    """Counts failures in a row, until hosts are given up."""

    def __init__(self) -> None:
        self._failures = 0
        #: Whether a host has ever loaded the app.
        self.any_loaded = False
        #: Why no host is started any more.
        self.given_up: str | None = None

    def succeeded(self) -> None:
        self._failures = 0
        self.any_loaded = True

    def failed(self, failure: Failure) -> None:
        self._failures += 1
        logger.error("a task host could not start: %s", failure.reason)
        if self._failures >= failure.most:
            self.given_up = failure.reason
            logger.warning(
                "tasks run as threads of this process, where processes, threads and asyncio of "
                "their own may not work (STREAMING_TASK_PROCESSES=0 says that this is meant): %s",
                failure.reason,
            )
