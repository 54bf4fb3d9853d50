"""The task `chat`: a conversation of any number of people with the model, turn by turn."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from streaming.errors import TaskError
from streaming.events.vocabulary import Json, JsonObject
from streaming.llm.base import CannotContinue, ToolCall, call_id
from streaming.running.context import JobContext
from streaming.running.task import task

#: Turns of one conversation, and characters of it that the model is shown.
MAX_TURNS, MEMORY = 500, 60_000
#: Rounds of tools in one turn.
ROUNDS = 2

SYSTEM = "You are an assistant in a conversation with one or several people. Be brief."

PUBLISH = {
    "type": "function",
    "function": {
        "name": "publish",
        "description": "Publish a note for everyone; a person must approve it",
        "parameters": {
            "type": "object",
            "properties": {"text": {"type": "string", "description": "the note"}},
            "required": ["text"],
        },
    },
}

#: What came of a turn, as JSON that a later attempt gets again.
Turn = JsonObject


class ChatInput(BaseModel):
    """How the conversation goes."""

    model_config = ConfigDict(extra="forbid", title="Conversation")

    message: str | None = Field(
        default=None,
        title="Message",
        description="The first thing said",
        min_length=1,
        max_length=20_000,
    )
    system: str = Field(
        SYSTEM, title="System prompt", description="What the model is to be", max_length=20_000
    )
    idle_s: float = Field(
        600, title="Idle", description="Seconds of silence that end it", gt=0, le=86400
    )
    approval_s: float = Field(
        120, title="Approval", description="Seconds that a person has to approve", gt=0, le=86400
    )
    tokens_per_s: float = Field(
        20, title="Tokens per second", description="Speed of the simulated model", ge=0, le=10_000
    )


class Said(BaseModel):
    """What a client sends: a message, a stop of the present answer, or the end."""

    model_config = ConfigDict(extra="forbid", strict=True)

    message: str | None = Field(default=None, min_length=1, max_length=20_000)
    by: str = Field(default="", max_length=100, description="who says it")
    stop: bool = False
    end: bool = False

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if (self.message is not None) + self.stop + self.end != 1:
            raise ValueError("one of message, stop and end")
        return self


class Verdict(BaseModel):
    """What a person says to a note."""

    model_config = ConfigDict(extra="forbid", strict=True)

    approve: bool


@task("chat", "Conversation", input=ChatInput, takes_input=Said, cooperative=True)
def chat(ctx: JobContext, input: ChatInput) -> JsonObject:
    """A conversation: send messages while it runs, stop an answer, approve what it publishes."""
    turns: list[Turn] = []
    waiting = [] if input.message is None else [{"message": input.message, "by": ""}]
    while len(turns) < MAX_TURNS:
        turn = ctx.step(f"turn-{len(turns) + 1}", take_turn, ctx, input, turns, waiting)
        if turn["over"]:
            break
        turns.append(turn)
        waiting = turn["waiting"]
    failed = sum(bool(turn.get("failed")) for turn in turns)
    stopped = sum(turn["stopped"] for turn in turns)
    return {"turns": len(turns), "stopped": stopped, **({"failed": failed} if failed else {})}


def take_turn(
    ctx: JobContext, input: ChatInput, turns: list[Turn], waiting: list[JsonObject]
) -> Generator[str, None, Turn]:
    """Wait for a message, and answer it. What is said meanwhile waits for the next turn."""
    said = Said(**waiting[0]) if waiting else next_message(ctx, input.idle_s)
    turn: Turn = {"over": True, "stopped": False, "failed": False, "answer": "", "tools": []}
    turn["waiting"] = waiting[1:]
    if said is None or said.message is None:
        return turn
    turn |= {"over": False, "said": said.message, "by": said.by}
    talk = remember(input.system, turns)
    spoken = f"{said.by}: {said.message}" if said.by else said.message
    talk.append({"role": "user", "content": spoken})
    try:
        yield from converse(ctx, input, talk, turn, note=f"note-{len(turns) + 1}.md")
    except TaskError as error:
        if isinstance(error, CannotContinue) and ctx.llm.restarts:
            raise  # the turn starts over
        turn["failed"] = True
        ctx.log(f"no answer to this message: {error.detail} ({error.code})", level="error")
        is_stopped(ctx, turn)  # what was said meanwhile is for the next turn
    return turn


def converse(
    ctx: JobContext, input: ChatInput, talk: list[JsonObject], turn: Turn, *, note: str
) -> Generator[str, None, None]:
    """Answer what was said last, with the tools that the model wants called."""
    for _ in range(ROUNDS):
        calls = yield from answer(ctx, input, talk, turn, may_call=True)
        if not calls or turn["stopped"]:
            return
        asked = [call.message() for call in calls]
        talk.append({"role": "assistant", "content": None, "tool_calls": asked})
        for call in calls:
            result = use_tool(ctx, input, call, note=note)
            turn["tools"].append({"name": call.name, **result})
            talk.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps(result)})
    yield from answer(ctx, input, talk, turn, may_call=False)


def answer(
    ctx: JobContext, input: ChatInput, talk: list[JsonObject], turn: Turn, *, may_call: bool
) -> Generator[str, None, list[ToolCall]]:
    """Yield the model's answer until it is complete or stopped; the tools that it wants."""
    pieces = ctx.llm.stream(
        talk,
        until=says_stop,
        tools=(PUBLISH,),
        may_call=may_call,
        calls=simulated_calls(talk),
        script=simulated_answer(talk),
        tokens_per_s=input.tokens_per_s,
    )
    try:
        while True:
            try:
                piece = next(pieces)
            except StopIteration as end:
                calls: list[ToolCall] = end.value
                turn["stopped"] = is_stopped(ctx, turn)
                return calls
            turn["answer"] += piece
            yield piece
            if is_stopped(ctx, turn):
                turn["stopped"] = True
                return []
    finally:
        pieces.close()  # which ends the generation at the model's server, too


def says_stop(data: Json) -> bool:
    """Whether a client stops the answer, which may be silent or thinking."""
    return Said.model_validate(data).stop


def is_stopped(ctx: JobContext, turn: Turn) -> bool:
    """Whether somebody has stopped the answer; messages wait."""
    while (data := ctx.take_input()) is not None:
        said = Said.model_validate(data)
        if said.stop:
            return True
        turn["waiting"].append(said.model_dump())
    return False


def next_message(ctx: JobContext, idle_s: float) -> Said | None:
    """What is said next; None at the end. A stop while nothing is answered stops nothing."""
    for data in ctx.inputs(timeout_s=idle_s):
        said = Said.model_validate(data)
        if said.end:
            return None
        if said.message is not None:
            return said
    return None


def use_tool(ctx: JobContext, input: ChatInput, call: ToolCall, *, note: str) -> JsonObject:
    """What came of a tool; one that failed is told to the model."""
    try:
        arguments = call.parsed()
        if call.name != "publish" or not isinstance(arguments.get("text"), str):
            raise TaskError("the only tool is publish, with a text")

        def run(text: str) -> str:
            return publish(ctx, input, note, text)

        return {"output": ctx.tool("publish", run, text=arguments["text"])}
    except TaskError as error:
        return {"error": str(error)}


def publish(ctx: JobContext, input: ChatInput, name: str, text: str) -> str:
    """Store a note that everyone can read, once a person has approved it."""
    question = f"Publish this note? {text}"
    try:
        verdict = ctx.ask(question, schema=Verdict, timeout_s=input.approval_s)
    except TimeoutError:
        raise TaskError("nobody approved it in time", code="not_approved") from None
    if not verdict.approve:
        raise TaskError("a person refused it", code="refused")
    return ctx.artifact(name, text, media_type="text/markdown")


def remember(system: str, turns: list[Turn]) -> list[JsonObject]:
    """The conversation as the model is shown it: the latest turns, as many as there is room for."""
    kept: list[JsonObject] = []
    room = MEMORY
    for turn in reversed(turns):
        if not turn["answer"].strip():  # it failed, or was stopped before a word
            continue
        room -= len(turn["said"]) + len(turn["answer"])
        if room < 0:
            break
        spoken = f"{turn['by']}: {turn['said']}" if turn["by"] else turn["said"]
        kept[:0] = [
            {"role": "user", "content": spoken},
            {"role": "assistant", "content": turn["answer"]},
        ]
    return [{"role": "system", "content": system}, *kept]


# What the simulated model says: it cannot read, so rules stand in for its judgement.


def simulated_calls(talk: list[JsonObject]) -> tuple[ToolCall, ...]:
    """It publishes what follows "publish:"."""
    last = talk[-1]
    _, asked, note = str(last["content"]).partition("publish:")
    if last["role"] != "user" or not asked:
        return ()
    text = note.strip()
    return (ToolCall(call_id("publish", text), "publish", json.dumps({"text": text})),)


def simulated_answer(talk: list[JsonObject]) -> str | None:
    """What came of a tool; text of its own for all else."""
    if simulated_calls(talk):
        return ""
    if talk[-1]["role"] == "tool":
        result = json.loads(talk[-1]["content"])
        return (
            f"Published: {result['output']}"
            if "output" in result
            else f"Not published: {result['error']}."
        )
    return None
