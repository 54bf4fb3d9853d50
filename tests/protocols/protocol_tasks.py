"""Tasks that answer, for the tests of protocols."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict

from streaming import JobContext, TaskError, task


class EchoInput(BaseModel):
    model_config = ConfigDict(extra="forbid")

    messages: list[dict[str, Any]]
    shout: bool = False


@task("echo", "Echo", input=EchoInput, answers=True)
def echo(ctx: JobContext, input: EchoInput) -> Iterator[str]:
    """Say again what was said last."""
    content = input.messages[-1]["content"]
    text = content if isinstance(content, str) else content[0]["text"]
    for word in text.split(" "):
        yield (word.upper() if input.shout else word) + " "


@task("stepping", steps=["look", "write"], answers=True)
def stepping(ctx: JobContext, input: dict[str, Any]) -> None:
    """Look, use a tool, then write."""
    ctx.step("look", lambda: ctx.tool("search", lambda query: ["found"], query="it"))
    ctx.step("write", lambda: ctx.text("what it found"))


@task("sized", answers=True)
def sized(ctx: JobContext, input: dict[str, Any]) -> Iterator[str]:
    """Say how long the last message is."""
    yield str(len(str(input["messages"][-1]["content"])))


@task("counting", answers=True, cooperative=True)
def counting(ctx: JobContext, input: dict[str, Any]) -> Iterator[str]:
    """Count; 50 numbers a second, as far as the last message says."""
    for number in range(int(input["messages"][-1]["content"].split()[0])):
        yield f"{number} "
        ctx.sleep(0.02)


@task("reporting", answers=True, cooperative=True)
def reporting(ctx: JobContext, input: dict[str, Any]) -> Iterator[str]:
    """Count as `counting` does, and say how far it is."""
    count = int(input["messages"][-1]["content"].split()[0])
    for number in range(count):
        yield f"{number} "
        ctx.progress(number, count)
        ctx.sleep(0.02)


@task("stalling_then_failing", answers=True, cooperative=True)
def stalling_then_failing(ctx: JobContext, input: dict[str, Any]) -> None:
    """Fail before the first word, when the status line has gone."""
    ctx.sleep(2.5)
    raise TaskError("it cannot", code="upstream_error", retryable=True)


@task("asking", answers=True, cooperative=True)
def asking(ctx: JobContext, input: dict[str, Any]) -> Iterator[str]:
    """Ask for a colour, and say it."""
    schema = {
        "type": "object",
        "properties": {"colour": {"type": "string"}},
        "required": ["colour"],
    }
    yield "the colour is "
    yield ctx.ask("Which colour?", schema=schema)["colour"]


@task("breaking", answers=True, cooperative=True)
def breaking(ctx: JobContext, input: dict[str, Any]) -> Iterator[str]:
    """Fail in the middle of an answer."""
    yield "so far "
    ctx.progress(1, 2, "half way")
    ctx.sleep(0.1)
    raise TaskError("it broke in the middle", code="broken")


class TimesInput(BaseModel):
    model_config = ConfigDict(extra="forbid")

    times: int = 3


@task("pacing", "Pace", steps=["walk"], input=TimesInput, cooperative=True)
def pacing(ctx: JobContext, input: TimesInput) -> dict[str, Any]:
    """Walk so many paces, ten a second."""

    def walk() -> None:
        for done in range(input.times):
            ctx.progress(done, input.times, f"pace {done}")
            ctx.sleep(0.1)

    ctx.step("walk", walk)
    return {"paces": input.times}
