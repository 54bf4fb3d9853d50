"""How long a stream lives, and why its server ends it: drain, rotation, a ticket that is over."""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass

from streaming.events.vocabulary import Json
from streaming.watching.server_end import ServerEnd

#: Seconds after which clients are asked to reconnect; jittered, so that they spread out.
RETRY_S = (1.0, 3.0)

#: Reason for the end of a stream whose ticket has expired.
TICKET_EXPIRED = "ticket_expired"


@dataclass(frozen=True, slots=True)
class Closing:
    """The server ends the stream; the client may reconnect."""

    reason: str
    retry_s: float

    @property
    def data(self) -> dict[str, Json]:
        return {"reason": self.reason, "retry_s": self.retry_s}


def retry_s() -> float:
    """Seconds until the client should reconnect, jittered."""
    return round(random.uniform(*RETRY_S), 3)


class Lifetime:
    """The life of one stream: when it began, and when its server ends it."""

    __slots__ = ("_server", "_why", "came_at", "ends_at", "sent_away")

    def __init__(self, server: ServerEnd) -> None:
        self._server = server
        self._why = "rotation"
        #: Epoch seconds.
        self.came_at = time.time()
        #: On the server's clock.
        self.ends_at = server.clock() + server.rotate_s * random.uniform(0.9, 1.1)
        #: Whether the server ends it, and not the reader.
        self.sent_away = False

    def closing(self) -> Closing | None:
        """Why the server closes the stream now; None if it does not."""
        if self._server.draining:
            self.sent_away = True
            return Closing("drain", retry_s())
        if self._server.clock() >= self.ends_at:
            self.sent_away = True
            return Closing(self._why, retry_s())
        return None

    def stay_open(self) -> None:
        """Exempt the stream from rotation: for clients that do not reconnect by themselves."""
        if self._why != TICKET_EXPIRED:
            self.ends_at = math.inf

    def end_by(self, expires_at: float | None) -> None:
        """End it at an epoch second, when its ticket expires."""
        if expires_at is not None:
            ends_at = self._server.clock() + expires_at - time.time()
            if ends_at < self.ends_at:
                self.ends_at, self._why = ends_at, TICKET_EXPIRED

    def age_s(self) -> float:
        """Seconds since it was opened."""
        return time.time() - self.came_at
