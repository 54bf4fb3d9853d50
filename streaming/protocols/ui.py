"""The AI SDK's UI message stream (version 1): a job's events as the parts of one message."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import ClassVar

from streaming.errors import StreamingError
from streaming.events.event import dumps
from streaming.events.vocabulary import JsonMapping, JsonObject
from streaming.protocols.answer import (
    Asked,
    Call,
    Ended,
    Moment,
    Progress,
    Question,
    Restarted,
    Result,
    Started,
    Step,
    Text,
    Thought,
    Used,
)
from streaming.protocols.frames import About, Encoder, Frame, sse
from streaming.protocols.refusals import failure_of

#: What says to clients which protocol a stream speaks.
HEADERS: Mapping[str, str] = {"x-vercel-ai-ui-message-stream": "v1"}
_DONE = b"data: [DONE]\n\n"
_FINISH = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool-calls",
    "filtered": "content-filter",
    "refused": "content-filter",
}


class UiEncoder(Encoder):
    """Chunks of a message. Another attempt's text begins it anew, under an id of its own."""

    PIECES: ClassVar[tuple[type[Moment], ...]] = (
        Text, Thought, Call, Step, Used, Result, Progress, Question, Ended,
    )  # fmt: skip

    def __init__(
        self, about: About, *, after: int = 0, restarts: Mapping[str, int] | None = None
    ) -> None:
        super().__init__(about, after=after, restarts=restarts)
        self._attempt = self._message = 1
        #: The open part: its kind (text, reasoning), what writes it, and its id.
        self._open: tuple[str, str, str] | None = None
        self._parts = 0
        #: Calls for the caller to run: name and arguments so far; ids of the task's own tools.
        self._calls: dict[str, list[str]] = {}
        self._used: set[str] = set()

    def frames(self, moment: Moment, seq: int) -> list[Frame]:
        return [Frame(seq, self.encode(chunk)) for chunk in self._chunks(moment)]

    def encode(self, chunk: JsonMapping | None) -> bytes:
        """A chunk as it goes over the wire; None for what says that no more come."""
        return _DONE if chunk is None else sse(chunk)

    def failure(self, error: StreamingError) -> bytes:
        self.done = True
        return self.encode({"type": "error", "errorText": error.detail}) + self.encode(None)

    def _chunks(self, moment: Moment) -> list[JsonMapping | None]:
        if isinstance(moment, Text):
            return self._piece("text", moment.item, moment.text)
        if isinstance(moment, Thought):
            return self._piece("reasoning", moment.item, moment.text)
        if isinstance(moment, Ended):
            return self._end(moment)
        if isinstance(moment, Asked):
            return self._start()
        if isinstance(moment, Started):
            self._attempt = moment.attempt
            return []
        if isinstance(moment, Restarted):
            return self._restart()
        if isinstance(moment, Call):
            return [*self._close(), *self._call(moment)]
        if isinstance(moment, Used):
            return [*self._close(), *self._use(moment)]
        if isinstance(moment, Result):
            return self._result(moment)
        return [_data(moment)]

    def _start(self) -> list[JsonMapping | None]:
        id = f"msg_{self.about.job}" + (f"_{self._message}" if self._message > 1 else "")
        metadata = {"job": self.about.job, "model": self.about.model}
        start = {"type": "start", "messageId": id, "messageMetadata": metadata}
        return [start, {"type": "start-step"}]

    def _restart(self) -> list[JsonMapping | None]:
        if self._message == self._attempt:  # begun anew already
            return []
        ended = [*self._close(), {"type": "finish-step"}]
        self._message = self._attempt
        self._calls, self._used = {}, set()
        return [*ended, *self._start()]

    def _piece(self, kind: str, item: str, text: str) -> list[JsonMapping | None]:
        """A delta; of another part than the open one, that one's end and its own start."""
        out: list[JsonMapping | None] = []
        if self._open is None or self._open[:2] != (kind, item):
            out += self._close()
            self._parts += 1
            self._open = (kind, item, f"{kind}-{self._parts}")
            out.append({"type": f"{kind}-start", "id": self._open[2]})
        return [*out, {"type": f"{kind}-delta", "id": self._open[2], "delta": text}]

    def _close(self) -> list[JsonMapping | None]:
        if self._open is None:
            return []
        kind, _, id = self._open
        self._open = None
        return [{"type": f"{kind}-end", "id": id}]

    def _call(self, call: Call) -> list[JsonMapping | None]:
        out: list[JsonMapping | None] = []
        if call.is_first:
            self._calls[call.id] = [call.name, ""]
            out.append({"type": "tool-input-start", "toolCallId": call.id, "toolName": call.name})
        self._calls[call.id][1] += call.arguments
        if call.arguments:
            delta = {"toolCallId": call.id, "inputTextDelta": call.arguments}
            out.append({"type": "tool-input-delta", **delta})
        return out

    def _called(self) -> list[JsonMapping | None]:
        """The calls with their whole arguments."""
        out: list[JsonMapping | None] = []
        for id, (name, arguments) in self._calls.items():
            head = {"toolCallId": id, "toolName": name}
            try:
                given = json.loads(arguments or "{}")
            except ValueError:
                wrong = {"input": arguments, "errorText": "the arguments are not JSON"}
                out.append({"type": "tool-input-error", **head, **wrong})
            else:
                out.append({"type": "tool-input-available", **head, "input": given})
        return out

    def _use(self, used: Used) -> list[JsonMapping | None]:
        self._used.add(used.id)
        head = {"toolCallId": used.id, "toolName": used.name}
        return [{"type": "tool-input-available", **head, "input": used.arguments, **_TASKS_OWN}]

    def _result(self, result: Result) -> list[JsonMapping | None]:
        if result.id not in self._used:  # clients fail at results of what they do not know
            return []
        head = {"toolCallId": result.id, **_TASKS_OWN}
        if result.error is not None:
            return [{"type": "tool-output-error", "errorText": result.error, **head}]
        return [{"type": "tool-output-available", "output": result.output, **head}]

    def _end(self, ended: Ended) -> list[JsonMapping | None]:
        self.done = True
        out = self._close()
        if ended.status == "completed" and ended.finish in _FINISH:
            finish = {"type": "finish", "finishReason": _FINISH[ended.finish]}
            return [*out, *self._called(), {"type": "finish-step"}, finish, None]
        if ended.status == "cancelled":
            reason = {"reason": ended.reason} if ended.reason else {}
            return [*out, {"type": "abort", **reason}, None]
        failure = failure_of(ended, self.about.job)
        return [*out, {"type": "error", "errorText": failure.detail}, None]


class UiSocketEncoder(UiEncoder):
    """The same chunks, one JSON text a line: what a frame of a WebSocket has in it."""

    def encode(self, chunk: JsonMapping | None) -> bytes:
        return b"" if chunk is None else dumps(chunk) + b"\n"

    def beat(self) -> bytes:
        return b""


#: Marks tools that the task itself runs: the page neither knows nor runs them.
_TASKS_OWN: JsonMapping = {"dynamic": True, "providerExecuted": True}


def _data(moment: Step | Progress | Question) -> JsonObject:
    """Parts that replace the one before of the same id."""
    if isinstance(moment, Step):
        shown = {name: getattr(moment, name) for name in ("id", "index", "total", "title")}
        return {"type": "data-step", "id": moment.id, "data": {**shown, "status": moment.status}}
    if isinstance(moment, Progress):
        progress = {"percent": moment.percent, "message": moment.message}
        return {"type": "data-progress", "id": "progress", "data": progress}
    asked = {"request": moment.request, "prompt": moment.prompt, "schema": moment.schema}
    return {"type": "data-question", "id": moment.request, "data": asked}
