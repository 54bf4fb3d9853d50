"""AG-UI 1.0: a job's events as the events of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from streaming.errors import StreamingError
from streaming.events.event import dumps
from streaming.events.vocabulary import JsonObject
from streaming.protocols.answer import (
    CALLS,
    Asked,
    Call,
    Ended,
    Moment,
    Progress,
    Question,
    Restarted,
    Result,
    Step,
    Text,
    Thought,
    Used,
)
from streaming.protocols.frames import About, Encoder, Frame, sse
from streaming.protocols.refusals import failure_of

#: Positions that each event of the log has: more than frames can come of one.
STRIDE = 1000
_FINISHED = ("stop", "length", "tool_calls", "filtered", "refused")


class AguiEncoder(Encoder):
    """Events with `id:` lines to join behind. What a run has begun, it ends before its own end."""

    takes_restarts: ClassVar[bool] = True
    PIECES: ClassVar[tuple[type[Moment], ...]] = (
        Text, Thought, Call, Step, Used, Result, Progress, Question, Ended,
    )  # fmt: skip

    def __init__(
        self,
        about: About,
        *,
        thread: str,
        run: str,
        after: int = 0,
        restarts: Mapping[str, int] | None = None,
        answered: bool = False,
        known: int = 0,
        asks: str | None = None,
    ) -> None:
        """`answered`: a run that goes on where another ended with a question, and says so.

        `known`: the log's end when the reader came; of the questions up to there only `asks` is
        open.
        """
        super().__init__(about, after=after, restarts=restarts)
        self._ids = {"threadId": thread, "runId": run}
        self._is_new = answered
        self._known, self._asks = known, asks
        self._seq = self._number = 0
        self._parts = 0
        #: The open message: its kind (text, reasoning), what writes it, and its id.
        self._open: tuple[str, str, str] | None = None
        self._steps: list[str] = []
        #: The caller's calls that are open; ids of the task's own tools.
        self._calls: list[str] = []
        self._used: set[str] = set()

    def frames(self, moment: Moment, seq: int) -> list[Frame]:
        if seq != self._seq:
            self._seq, self._number = seq, 0
        begins = self._is_new and seq * STRIDE > self.after
        if begins:  # the run before it has ended all that was open
            self._open, self._steps, self._calls, self._used = None, [], [], set()
        bodies = self._bodies(moment, seq)
        if begins and bodies:
            self._is_new = False
            bodies = [{"type": "RUN_STARTED", **self._ids}, *bodies]
        return [self._frame(body) for body in bodies]

    def failure(self, error: StreamingError) -> bytes:
        self.done = True
        return sse({"type": "RUN_ERROR", "message": error.detail, "code": error.code})

    def _frame(self, body: JsonObject) -> Frame:
        position = self._seq * STRIDE + self._number
        self._number += 1
        return Frame(position, sse(body, id=position))

    def _bodies(self, moment: Moment, seq: int) -> list[JsonObject]:
        if isinstance(moment, Text):
            return [] if self._is_old(moment.item, seq) else self._piece("text", moment)
        if isinstance(moment, Thought):
            return self._piece("reasoning", moment)
        if isinstance(moment, Call):
            return [] if self._is_old(CALLS, seq) else [*self._close(), *self._call(moment)]
        if isinstance(moment, Question):
            return self._ask(moment, seq)
        if isinstance(moment, Ended):
            return self._end(moment)
        return self._beside(moment)

    def _beside(self, moment: Moment) -> list[JsonObject]:
        """What stands beside the answer."""
        if isinstance(moment, Used):
            return [*self._close(), *self._use(moment)]
        if isinstance(moment, Result):
            return self._result(moment)
        if isinstance(moment, Step):
            return [*self._close(), *self._step(moment)]
        if isinstance(moment, Progress):
            return [self._progress(moment)]
        if isinstance(moment, Restarted):
            return self._close()
        return self._start() if isinstance(moment, Asked) else []

    def _is_old(self, item: str, seq: int) -> bool:
        """Whether another attempt has said it anew before this reader came for the whole."""
        return self.after == 0 and seq < self._restarts.get(item, 0)

    def _start(self) -> list[JsonObject]:
        begun: list[JsonObject] = [{"type": "RUN_STARTED", **self._ids}]
        state = self.about.origin.get("state")
        if state is not None:
            begun.append({"type": "STATE_SNAPSHOT", "snapshot": state})
        return begun

    def _progress(self, moment: Progress) -> JsonObject:
        progress = {"percent": moment.percent, "message": moment.message}
        delta = [
            {"op": "add", "path": "/percent", "value": moment.percent},
            {"op": "add", "path": "/progress", "value": progress},
        ]
        return {"type": "STATE_DELTA", "delta": delta}

    def _piece(self, kind: str, said: Text | Thought) -> list[JsonObject]:
        """A delta; of another message than the open one, that one's end and its own start."""
        if not said.text:
            return []
        out: list[JsonObject] = []
        if self._open is None or self._open[:2] != (kind, said.item):
            out += self._close()
            id = self._new_id()
            self._open = (kind, said.item, id)
            if kind == "reasoning":
                out.append({"type": "REASONING_START", "messageId": id})
                start = {"messageId": id, "role": "reasoning"}
                out.append({"type": "REASONING_MESSAGE_START", **start})
            else:
                start = {"messageId": id, "role": "assistant"}
                out.append({"type": "TEXT_MESSAGE_START", **start})
        name = "REASONING_MESSAGE_CONTENT" if kind == "reasoning" else "TEXT_MESSAGE_CONTENT"
        return [*out, {"type": name, "messageId": self._open[2], "delta": said.text}]

    def _close(self) -> list[JsonObject]:
        if self._open is None:
            return []
        kind, _, id = self._open
        self._open = None
        names = ["REASONING_MESSAGE_END", "REASONING_END"]
        names = names if kind == "reasoning" else ["TEXT_MESSAGE_END"]
        return [{"type": name, "messageId": id} for name in names]

    def _call(self, call: Call) -> list[JsonObject]:
        out: list[JsonObject] = []
        if call.is_first:
            self._calls.append(call.id)
            head = {"toolCallId": call.id, "toolCallName": call.name}
            out.append({"type": "TOOL_CALL_START", **head})
        if call.arguments:
            out.append(_arguments(call.id, call.arguments))
        return out

    def _use(self, used: Used) -> list[JsonObject]:
        self._used.add(used.id)
        return [
            {"type": "TOOL_CALL_START", "toolCallId": used.id, "toolCallName": used.name},
            _arguments(used.id, dumps(used.arguments or {}).decode()),
            {"type": "TOOL_CALL_END", "toolCallId": used.id},
        ]

    def _result(self, result: Result) -> list[JsonObject]:
        if result.id not in self._used:
            return []
        output = result.error if result.error is not None else result.output
        content = output if isinstance(output, str) else dumps(output).decode()
        head = {"messageId": self._new_id(), "toolCallId": result.id, "role": "tool"}
        return [{"type": "TOOL_CALL_RESULT", **head, "content": content}]

    def _step(self, step: Step) -> list[JsonObject]:
        if step.status == "running":
            if step.id in self._steps:
                return []
            self._steps.append(step.id)
            return [{"type": "STEP_STARTED", "stepName": step.id}]
        if step.id not in self._steps:
            return []
        self._steps.remove(step.id)
        return [{"type": "STEP_FINISHED", "stepName": step.id}]

    def _close_all(self) -> list[JsonObject]:
        out = self._close()
        out += [{"type": "TOOL_CALL_END", "toolCallId": id} for id in self._calls]
        out += [{"type": "STEP_FINISHED", "stepName": step} for step in self._steps[::-1]]
        self._steps = []
        return out

    def _ask(self, asked: Question, seq: int) -> list[JsonObject]:
        """The run ends with the question; another one brings the answer and goes on."""
        if seq <= self._known and asked.request != self._asks:  # somebody has answered it
            return []
        out = self._close_all()
        interrupt: JsonObject = {
            "id": interrupt_id(self.about.job, asked.request),
            "reason": "input_required",
            "message": asked.prompt,
        }
        if isinstance(asked.schema, dict):
            interrupt["responseSchema"] = asked.schema
        outcome = {"type": "interrupt", "interrupts": [interrupt]}
        out.append({"type": "RUN_FINISHED", **self._ids, "outcome": outcome})
        self.done = seq * STRIDE + len(out) > self.after
        return out

    def _end(self, ended: Ended) -> list[JsonObject]:
        self.done = True
        if ended.status != "completed" or ended.finish not in _FINISHED:
            failure = failure_of(ended, self.about.job)
            return [{"type": "RUN_ERROR", "message": failure.detail, "code": failure.code}]
        outcome: JsonObject = {"type": "success"}
        out = self._close_all()
        if self._calls:
            outcome["pendingToolCallIds"] = list(self._calls)
        result = {} if ended.output is None else {"result": ended.output}
        return [*out, {"type": "RUN_FINISHED", **self._ids, "outcome": outcome, **result}]

    def _new_id(self) -> str:
        self._parts += 1
        return f"{self.about.job}-{self._parts}"


def interrupt_id(job: str, request: str) -> str:
    """The id of an interrupt: a job's question."""
    return f"{job}:{request}"


def _arguments(call: str, delta: str) -> JsonObject:
    return {"type": "TOOL_CALL_ARGS", "toolCallId": call, "delta": delta}
