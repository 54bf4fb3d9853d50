"""What an encoder is: moments of an answer to the frames of one protocol, with positions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, NamedTuple

from streaming.errors import StreamingError, TaskError
from streaming.events.event import Event, dumps
from streaming.events.vocabulary import JsonMapping
from streaming.protocols.answer import (
    CALLS,
    Call,
    Ended,
    Moment,
    Reading,
    Restarted,
    Text,
    Thought,
)

#: Moments that are the answer's content, and those that another attempt makes void, or says so.
#: Tuples: to make a union each time would be a good part of what a token costs.
_CONTENT, _VOIDABLE = (Text, Thought, Call), (Text, Call, Restarted)


class Frame(NamedTuple):
    """Bytes of a stream. Whoever has seen `position` (of the protocol's own count) has this."""

    position: int
    data: bytes


@dataclass(frozen=True, slots=True)
class About:
    """Which job's answer is encoded, and what its question said that matters again."""

    job: str
    model: str
    created_at: str
    #: The `origin` of the job, see `question.Question.origin`.
    origin: JsonMapping = field(default_factory=dict)
    metadata: JsonMapping = field(default_factory=dict)

    @property
    def created(self) -> int:
        """Epoch seconds."""
        return int(datetime.fromisoformat(self.created_at).timestamp())


class Encoder(ABC):
    """Events of one job, in order from its first, to frames behind a position.

    It is given all events, also those behind which the reader is: so it knows what they left.
    """

    #: Whether a second attempt's text may follow the first's, as something of its own.
    takes_restarts: ClassVar[bool] = False

    def __init__(
        self, about: About, *, after: int = 0, restarts: Mapping[str, int] | None = None
    ) -> None:
        """`restarts` (`answer.last_restarts`): what is void already is not said to the reader."""
        self.about = about
        self.after = after
        self._restarts = restarts or {}
        self._reading = Reading()
        self._shown: set[str] = set()
        #: Position of the last frame that was given.
        self.position = after
        #: Whether the reader was given a piece of the answer, or its end: the status line waits
        #: for it; and whether there were any of its content.
        self.begun = self.has_content = False
        #: Whether the protocol's own end was given: nothing follows it.
        self.done = False
        #: The end of the job, once it was read.
        self.ended: Ended | None = None

    def take(self, event: Event) -> bytes:
        """The frames of the next event behind the reader's position; none is usual."""
        if self.done:
            return b""
        out: list[Frame] = []
        for moment in self._reading.take(event):
            if isinstance(moment, Ended):
                self.ended = moment
            if self._is_void(moment, event.seq) or self.done:
                continue
            new = [frame for frame in self.frames(moment, event.seq) if frame[0] > self.after]
            self.begun = self.begun or (bool(new) and isinstance(moment, self.PIECES))
            self.has_content = self.has_content or isinstance(moment, _CONTENT)
            out += new
        if out:
            self.position = out[-1].position
        return b"".join([frame.data for frame in out])

    @abstractmethod
    def frames(self, moment: Moment, seq: int) -> list[Frame]:
        """The frames of a moment of event `seq`; sets `done` with the protocol's end."""

    @abstractmethod
    def failure(self, error: StreamingError) -> bytes:
        """The frame that ends a stream for a reason that is not the job's; sets `done`."""

    def beat(self) -> bytes:
        """A sign of life that every client of the protocol survives."""
        return b": ping\n"

    def restarted(self) -> StreamingError:
        """What is told to those who cannot be given another attempt's text."""
        return TaskError(
            f"the server was interrupted and the answer begins anew; job {self.about.job} goes on: "
            "read it from its beginning",
            code="restarted",
            job=self.about.job,
        )

    def _is_void(self, moment: Moment, seq: int) -> bool:
        """Whether the reader is not to be told of it; keeps in mind what they are told."""
        if self.takes_restarts or not isinstance(moment, _VOIDABLE):
            return False
        item = CALLS if isinstance(moment, Call) else moment.item
        if isinstance(moment, Restarted):
            return item not in self._shown
        if seq > self.after and item not in self._shown and seq < self._restarts.get(item, 0):
            return True
        self._shown.add(item)
        return False

    #: Moments that make `begun` true.
    PIECES: ClassVar[tuple[type[Moment], ...]] = ()


def sse(body: JsonMapping, *, name: str = "", id: int | None = None) -> bytes:
    """A server-sent event with JSON data, safe for readers that split at any line break."""
    head = f"event: {name}\n" if name else ""
    if id is not None:
        head += f"id: {id}\n"
    return b"%bdata: %b\n\n" % (head.encode(), dumps(body))
