"""OpenAI's Responses: a job's events as the events and items of a response.

The same log gives the same numbers on any process: event `seq` has the `sequence_number`s from
`(seq - 1) * STRIDE` on. Requests are in `responses_request`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar

from streaming.errors import StreamingError
from streaming.events.event import dumps
from streaming.events.vocabulary import JsonMapping, JsonObject
from streaming.protocols.answer import (
    CALLS,
    Asked,
    Call,
    Ended,
    Moment,
    Restarted,
    Started,
    Step,
    Text,
    Thought,
)
from streaming.protocols.frames import About, Encoder, Frame, sse
from streaming.protocols.refusals import failure_of, openai_error
from streaming.protocols.responses_items import Item, echo, usage_of

#: What stands before a job's id in the id of its response.
PREFIX = "resp_"
#: Numbers that each event of the log has: more than frames can come of one.
STRIDE = 1000

#: Words of codes after which no client sends a question again by itself.
_UNREPEATED = ("invalid", "not_found", "permission", "authentication", "bad_request")
_INCOMPLETE = {
    "length": "max_output_tokens",
    "filtered": "content_filter",
    "refused": "content_filter",
}
_FINISHED = ("stop", "tool_calls")


class ResponsesEncoder(Encoder):
    """Events with their `sequence_number`; `response()` is the response as far as it was read."""

    takes_restarts: ClassVar[bool] = True
    PIECES: ClassVar[tuple[type[Moment], ...]] = (Text, Thought, Call, Step, Ended)

    def __init__(
        self, about: About, *, after: int = -1, restarts: Mapping[str, int] | None = None
    ) -> None:
        super().__init__(about, after=after, restarts=restarts)
        self._asked: JsonMapping = {}
        self._status = "queued"
        #: All items ever begun: they count the output indexes. Those that are void are no output.
        self._items: list[Item] = []
        self._open: list[Item] = []
        self._end_of: Ended | None = None
        self._seq = 1
        self._number = 0

    def frames(self, moment: Moment, seq: int) -> list[Frame]:
        if seq != self._seq:
            self._seq, self._number = seq, 0
        return [self.frame(body) for body in self._bodies(moment)]

    def frame(self, body: JsonMapping) -> Frame:
        """A body with the next number of the present event, as bytes."""
        number = (self._seq - 1) * STRIDE + self._number
        self._number += 1
        return Frame(number, self.encode({**body, "sequence_number": number}))

    def encode(self, body: JsonMapping) -> bytes:
        """A numbered body as it goes over the wire."""
        return sse(body, name=str(body["type"]))

    def failure(self, error: StreamingError) -> bytes:
        self.done = True
        shown = {**openai_error(error), "code": self._code(error.code), "job": self.about.job}
        told = {"message": error.detail, "code": shown["code"], "param": None}
        number = max(self.position, 0)
        return self.encode({"type": "error", **told, "sequence_number": number, "error": shown})

    def response(self) -> JsonObject:
        """The response object, as far as the log was read."""
        ended = self._end_of
        error, details = None, None
        if ended is not None and ended.status == "failed":
            failure = failure_of(ended, self.about.job)
            error = {"code": self._code(failure.code), "message": failure.detail}
        elif ended is not None and (ended.status == "cancelled" or ended.finish in _INCOMPLETE):
            reason = "cancelled" if ended.status == "cancelled" else _INCOMPLETE[ended.finish]
            details = {"reason": reason}
        return {
            "id": f"{PREFIX}{self.about.job}",
            "object": "response",
            "created_at": self.about.created,
            "completed_at": _epoch(ended),
            "model": self.about.model,
            "status": self._status,
            "background": bool(self.about.origin.get("background")),
            "error": error,
            "incomplete_details": details,
            "output": [item.shown() for item in self._items if not item.void],
            "usage": usage_of(ended) if ended is not None else None,
            "metadata": dict(self.about.metadata),
            "previous_response_id": self.about.origin.get("previous"),
            "store": self.about.origin.get("store") is not False,
            **echo(self.about.origin, self._asked),
        }

    def _code(self, code: str) -> str:
        """A failure's code; before any output, one after which clients do not ask again."""
        if self._items or any(word in code for word in _UNREPEATED):
            return code
        return f"{code}.invalid"

    def _bodies(self, moment: Moment) -> list[JsonObject]:
        if isinstance(moment, Text):
            return self._piece("message", moment.item, moment.text)
        if isinstance(moment, Thought):
            return self._piece("reasoning", moment.item, moment.text)
        if isinstance(moment, Step) and moment.status == "running":
            return self._piece("reasoning", moment.id, moment.line)
        if isinstance(moment, Call):
            return self._piece("function_call", moment.id, moment.arguments, name=moment.name)
        if isinstance(moment, Restarted):
            return self._restart(moment.item)
        if isinstance(moment, Ended):
            return self._finish(moment)
        return self._lifecycle(moment)

    def _lifecycle(self, moment: Moment) -> list[JsonObject]:
        if isinstance(moment, Asked):
            given = moment.data.get("input")
            self._asked = given if isinstance(given, dict) else {}
            background = bool(self.about.origin.get("background"))
            self._status = "queued" if background else "in_progress"
            names = ["response.created", "response.queued"][: 1 + background]
            return [{"type": name, "response": self.response()} for name in names]
        # A second one would wipe what clients have gathered.
        if isinstance(moment, Started) and moment.attempt == 1:
            self._status = "in_progress"
            return [{"type": "response.in_progress", "response": self.response()}]
        if isinstance(moment, Started):
            self._status = "in_progress"
        return []

    def _piece(self, kind: str, source: str, text: str, *, name: str = "") -> list[JsonObject]:
        """A delta of the item that `source` writes, begun where it is not open."""
        bodies: list[JsonObject] = []
        item = next((i for i in self._open if i.kind == kind and i.source == source), None)
        if item is None and kind == "reasoning":
            item = next((i for i in self._open if i.kind == kind), None)
        if item is None:
            beside = kind == "function_call"  # calls may be written side by side
            for each in [i for i in self._open if not (beside and i.kind == kind)]:
                bodies += self._close(each)
            item = Item(kind, self.about.job, len(self._items), source, name)
            self._items.append(item)
            self._open.append(item)
            bodies += item.begun()
        return [*bodies, item.delta(text)]

    def _close(self, item: Item, *, status: str = "completed") -> list[JsonObject]:
        self._open.remove(item)
        item.status = status
        return item.closed()

    def _restart(self, source: str) -> list[JsonObject]:
        """What an earlier attempt said is no output; what of it is open ends as incomplete."""
        bodies: list[JsonObject] = []
        for item in self._items:
            is_meant = item.kind == "function_call" if source == CALLS else item.source == source
            if item.void or not (is_meant or item.kind == "reasoning"):
                continue
            item.void = True
            if item in self._open:
                bodies += self._close(item, status="incomplete")
        return bodies

    def _finish(self, ended: Ended) -> list[JsonObject]:
        self.done, self._end_of = True, ended
        whole = ended.status == "completed" and ended.finish in _FINISHED
        bodies: list[JsonObject] = []
        for item in list(self._open):
            bodies += self._close(item, status="completed" if whole else "incomplete")
        if ended.status == "completed" and ended.finish in (*_FINISHED, *_INCOMPLETE):
            self._status = "completed" if whole else "incomplete"
        elif ended.status == "cancelled":
            self._status = "cancelled"
        else:
            self._status = "failed"
        name = {"cancelled": "incomplete"}.get(self._status, self._status)
        return [*bodies, {"type": f"response.{name}", "response": self.response()}]


class SocketEncoder(ResponsesEncoder):
    """The same events, one JSON text a line: each is a frame of a WebSocket."""

    def encode(self, body: JsonMapping) -> bytes:
        return dumps(body) + b"\n"

    def beat(self) -> bytes:
        return b""


def _epoch(ended: Ended | None) -> int | None:
    if ended is None or not ended.at:
        return None
    return int(datetime.fromisoformat(ended.at).timestamp())
