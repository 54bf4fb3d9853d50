"""The task behind the model protocols: one question to the upstream model, answered as it comes.

Not listed among the tasks: the protocols start it. Text, thinking and the calls that the model
wants are events; what a protocol shows of them is its own affair.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streaming.errors import BadRequest, TaskError
from streaming.events.vocabulary import JsonMapping, JsonObject
from streaming.llm.base import Ending, Prompt, Reasoning, ToolCall, ToolCallPart
from streaming.running.context import JobContext
from streaming.running.task import task


class SimulatedParameters(BaseModel):
    """What the simulated model takes of a question's parameters; a server would refuse others."""

    model_config = ConfigDict(strict=True)

    max_completion_tokens: int | None = Field(None, ge=0)
    max_tokens: int | None = Field(None, ge=0)
    seed: int | None = None
    tokens_per_s: float = Field(20.0, ge=0, le=10_000)
    fail_after: int | None = Field(None, ge=0)
    thinking: str = ""
    script: str | None = None


class CompletionInput(BaseModel):
    """What is asked of the upstream model, in the form of OpenAI's Chat Completions."""

    model_config = ConfigDict(extra="forbid")

    model: str
    messages: list[JsonObject]
    #: Members of the request that go upstream as they are: tools, limits, formats.
    parameters: JsonObject = {}


@task("completion", "Answer", input=CompletionInput, cooperative=True)
def _completion(ctx: JobContext, input: CompletionInput) -> JsonObject:
    """The upstream model's answer to a conversation."""
    text: list[str] = []
    calls: dict[int, ToolCall] = {}
    ending = Ending("stop")
    for piece in ctx.llm.pieces(prompt_of(input, ctx)):
        if isinstance(piece, str):
            text.append(piece)
            ctx.text(piece)
        elif isinstance(piece, Reasoning):
            ctx.reasoning(piece.text)
        elif isinstance(piece, ToolCallPart):
            ctx.llm.call_part(piece)
            calls[piece.index] = _longer(calls.get(piece.index), piece)
        elif isinstance(piece, ToolCall):
            _complete(ctx, calls, piece)
        elif isinstance(piece, Ending):
            ending = piece
    for _, call in sorted(calls.items()):
        ctx.llm.call(call)
    if ending.reason in ("filtered", "refused") and not (text or calls):
        raise TaskError(ending.note or "the model refused to answer", code="content_filtered")
    finish = "tool_calls" if calls and ending.reason == "stop" else ending.reason
    return {
        "text": "".join(text),
        "tool_calls": [call.message() for _, call in sorted(calls.items())],
        "finish_reason": finish,
        "cut": ending.cut,
    }


#: Hidden: started by the protocols alone.
completion = replace(_completion, hidden=True)


def prompt_of(input: CompletionInput, ctx: JobContext) -> Prompt:
    """The question as the llm room has it."""
    extra = {name: value for name, value in input.parameters.items() if value is not None}
    messages = tuple(input.messages)
    if not ctx.llm.simulated:
        # Under which name a server takes the limit is the llm room's affair.
        limit = extra.pop("max_tokens", None) if isinstance(extra.get("max_tokens"), int) else None
        # Others stand in for the first model alone: who names another one, means it.
        model = "" if input.model == ctx.llm.name else input.model
        return Prompt(messages=messages, model=model, max_tokens=limit, extra=extra)
    return _simulated(messages, extra)


def _simulated(messages: tuple[JsonMapping, ...], extra: JsonMapping) -> Prompt:
    try:
        asked = SimulatedParameters.model_validate(extra)
    except ValidationError as error:
        wrong = error.errors()[0]
        message = f"{wrong['loc'][0]}: {wrong['msg']}"
        raise BadRequest(message, code="invalid_request") from None
    limit = asked.max_completion_tokens
    return Prompt(
        messages=messages,
        max_tokens=asked.max_tokens if limit is None else limit,
        seed=asked.seed or 0,
        tokens_per_s=asked.tokens_per_s,
        fail_after=asked.fail_after,
        thinking=asked.thinking,
        script=asked.script,
    )


def _longer(known: ToolCall | None, part: ToolCallPart) -> ToolCall:
    if known is None:
        return ToolCall(part.id, part.name, part.arguments)
    return ToolCall(part.id, part.name or known.name, known.arguments + part.arguments)


def _complete(ctx: JobContext, calls: dict[int, ToolCall], call: ToolCall) -> None:
    """A call that came whole: its parts, where there were any, are known already."""
    index = next((i for i, known in calls.items() if known.id == call.id), None)
    if index is None:
        index = len(calls)
        ctx.llm.call_part(ToolCallPart(index, call.id, call.name, call.arguments))
    calls[index] = call
