"""The tool calls of one answer, put together from the parts that servers send. No I/O."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

from streaming.errors import TaskError
from streaming.events.halves import Joiner, whole
from streaming.events.vocabulary import JsonMapping, JsonObject
from streaming.llm.base import ToolCall, ToolCallPart, call_id
from streaming.llm.shapes import odd


@dataclass(slots=True)
class _Open:
    """A call that is being written."""

    number: int
    index: int | None
    id: str = ""
    name: str = ""
    arguments: str = ""
    #: The id under which its parts were told; "" before the first.
    told: str = ""
    #: Arguments that no part has told.
    held: str = ""
    #: A pair of surrogates may be split over two parts.
    joiner: Joiner = field(default_factory=Joiner)

    @property
    def complete(self) -> bool:
        """Whether the arguments are a whole object already."""
        try:
            return isinstance(json.loads(self.arguments), dict)
        except ValueError:
            return False

    def may_be_over(self, name: str) -> bool:
        """Whether a part with this name begins another call, where no id tells."""
        return self.complete or (not self.arguments and name != self.name)


class ToolCalls:
    """Servers tell parallel calls apart by index, by id, by neither: each is told from the rest."""

    def __init__(self) -> None:
        self._calls: list[_Open] = []

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add(self, found: object) -> Iterator[ToolCallPart]:
        """The parts of a delta's `tool_calls`; `upstream_error` for what is none."""
        for part in found if isinstance(found, list) else [found]:
            if part is None:
                continue
            if not isinstance(part, dict):
                raise odd(part, "a tool call")
            call = self._add(part)
            # Nobody can begin a call without its name; and {} may be all, or a false start.
            if call.name and call.held.strip() != "{}":
                yield self._part(call)

    def end(self) -> Iterator[ToolCall | ToolCallPart]:
        """The calls, each with an id of its own, which its parts had; `upstream_error` for one
        that has no name.
        """
        for call in self._calls:
            if not call.name:
                message = f"the model's server sent a tool call without a name: {call.arguments}"
                raise TaskError(message[:200], code="upstream_error")
            left = call.joiner.end()
            call.arguments += left
            call.held += left
            if call.held:
                yield self._part(call)
            yield ToolCall(self._id(call), call.name, call.arguments)

    def _part(self, call: _Open) -> ToolCallPart:
        told, call.held = call.held, ""
        return ToolCallPart(call.number, self._id(call), call.name, told)

    def _id(self, call: _Open) -> str:
        if not call.told:
            is_own = call.id and all(call.id != other.told for other in self._calls)
            call.told = call.id if is_own else call_id(uuid.uuid4())
        return call.told

    def _add(self, part: JsonMapping) -> _Open:
        function = part.get("function")
        if not isinstance(function, dict):
            function = {} if function is None else _named(function)
            function = function or {key: part[key] for key in ("name", "arguments") if key in part}
        id, name = _word(part.get("id")), _word(function.get("name"))
        call = self._find(_number(part.get("index")), id, name)
        text = call.joiner.add(_arguments(function.get("arguments")))
        if call.held.strip() == "{}" == call.arguments.strip() and text.lstrip()[:1] == "{":
            call.arguments = call.held = ""
        call.id = call.id or id
        call.name = call.name or name
        call.arguments += text
        call.held += text
        return call

    def _find(self, index: int | None, id: str, name: str) -> _Open:
        """The call that a part belongs to: one that is open, or a new one."""
        call = self._same_index(index)
        if id and (call is None or (call.id and call.id != id)):
            call = next((c for c in self._calls if c.id == id and _agree(c.index, index)), None)
        elif call is not None and name and call.name and not id and call.may_be_over(name):
            call = None  # told by nothing but that it begins anew
        elif call is not None and id and not call.id and call.name and name and call.complete:
            call = None
        if call is None and not id and not name and self._calls:
            return self._calls[-1]
        if call is None:
            call = _Open(len(self._calls), index)
            self._calls.append(call)
        return call

    def _same_index(self, index: int | None) -> _Open | None:
        """The newest call with the index; without one, the newest of all."""
        if index is None:
            return self._calls[-1] if self._calls else None
        return next((call for call in reversed(self._calls) if call.index == index), None)


def _agree(one: int | None, other: int | None) -> bool:
    return one is None or other is None or one == other


def _word(found: object) -> str:
    return whole(found) if isinstance(found, str) else "" if found is None else str(found)


def _number(index: object) -> int | None:
    """An index, also where a server writes it as text."""
    if isinstance(index, str) and index.isdecimal():
        return int(index)
    return index if isinstance(index, int) else None


def _named(function: object) -> JsonObject:
    if isinstance(function, str):
        return {"name": function}
    raise odd(function, "a function")


def _arguments(found: object) -> str:
    """Arguments as JSON in text, also where a server sends the object itself."""
    if found is None:
        return ""
    if isinstance(found, str):
        return found
    if isinstance(found, dict):
        return json.dumps(found, ensure_ascii=False)
    raise odd(found, "arguments of a tool call")
