"""Tasks that the servers under test load through STREAMING_TASKS."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from streaming import JobContext, task

#: What the scripted task asks for.
VERDICT = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}},
    "required": ["ok"],
}


@task("scripted", steps=[("draft", "Draft it"), ("check", "Check it")])
def scripted(ctx: JobContext, input: dict[str, Any]) -> dict[str, Any]:
    """Emit every kind of event that a task can, and ask for a verdict between its two steps."""
    draft = ctx.step("draft", _draft, ctx)
    verdict = ctx.ask("Is it good?", schema=VERDICT)
    checked = ctx.step("check", _check, ctx, verdict)
    ctx.text("Done.\n")
    return {"text": draft + checked + "Done.\n", "verdict": verdict}


def _draft(ctx: JobContext) -> Iterator[str]:
    ctx.reasoning("First, ")
    ctx.reasoning("a greeting.")
    pieces = ["Grüße, ", "世界 ", "🚀\n"]
    for number, piece in enumerate(pieces, start=1):
        yield piece
        ctx.progress(number, len(pieces), "drafting")
    return "".join(pieces)


def _check(ctx: JobContext, verdict: dict[str, Any]) -> Iterator[str]:
    ctx.tool("count", lambda word: len(word), word="Grüße")
    ctx.metric("score", 0.5, unit="1", labels={"by": "test"})
    ctx.metric("score", 0.75, unit="1", labels={"by": "test"})
    ctx.alert("too_good", "That went well", severity="info", value=0.75)
    ctx.alert("too_good", "Back to normal", severity="info", state="resolved")
    ctx.artifact("note.txt", "a nöte\n", media_type="text/plain; charset=utf-8")
    ctx.log("checked", level="debug")
    text = f"ok: {verdict['ok']}\n"
    yield text
    return text


class Words(BaseModel):
    words: list[str]


@task("plain", input=Words)
def plain(ctx: JobContext, input: Words) -> dict[str, str]:
    """Say the words, as a plain function."""
    for word in input.words:
        ctx.text(word)
    return {"text": "".join(input.words)}


@task("generator", input=Words)
def generator(ctx: JobContext, input: Words) -> Iterator[str]:
    """Say the words, as a generator."""
    yield from input.words
    return {"text": "".join(input.words)}


@task("coroutine", input=Words)
async def coroutine(ctx: JobContext, input: Words) -> dict[str, str]:
    """Say the words, as a coroutine."""
    for word in input.words:
        await asyncio.sleep(0)
        ctx.text(word)
    return {"text": "".join(input.words)}


@task("async-generator", input=Words)
async def async_generator(ctx: JobContext, input: Words) -> AsyncIterator[str]:
    """Say the words, as an async generator."""
    for word in input.words:
        await asyncio.sleep(0)
        yield word


@task("cooperative", input=Words, cooperative=True)
def cooperative(ctx: JobContext, input: Words) -> dict[str, str]:
    """Say the words, as a greenlet where there are greenlets."""
    for word in input.words:
        ctx.sleep(0.001)
        ctx.text(word)
    return {"text": "".join(input.words)}


class Nap(BaseModel):
    seconds: float = 600


@task("sleeping", input=Nap)
def sleeping(ctx: JobContext, input: Nap) -> None:
    """Sleep in a way that a cancel wakes."""
    ctx.sleep(input.seconds)


@task("sleeping-cooperative", input=Nap, cooperative=True)
def sleeping_cooperative(ctx: JobContext, input: Nap) -> None:
    """Sleep as a greenlet."""
    ctx.sleep(input.seconds)


@task("sleeping-async", input=Nap)
async def sleeping_async(ctx: JobContext, input: Nap) -> None:
    """Sleep in an event loop."""
    await asyncio.sleep(input.seconds)


class Silence(BaseModel):
    #: A file; none: for ever.
    until: str = ""


@task("deaf", input=Silence)
def deaf(ctx: JobContext, input: Silence) -> None:
    """Neither emit nor check, whatever is asked of it, until there is a file."""
    while not (input.until and Path(input.until).exists()):
        time.sleep(0.05)


@task("counting")
def counting(ctx: JobContext, input: dict[str, Any]) -> None:
    """Emit a numbered piece of text every hundredth of a second, or so, until it is cancelled."""
    number = 0
    while True:
        ctx.text(f"{number} ")
        ctx.sleep(input.get("pause_s", 0.01))
        number += 1


@task("asking")
def asking(ctx: JobContext, input: dict[str, Any]) -> dict[str, Any]:
    """Ask for a verdict and return it."""
    return {"verdict": ctx.ask("Is it good?", schema=VERDICT)}


class Question(BaseModel):
    shape: dict[str, Any] = Field(alias="schema")


@task("asking-for", input=Question)
def asking_for(ctx: JobContext, input: Question) -> dict[str, Any]:
    """Ask for what a schema says."""
    return {"answer": ctx.ask("What do you say?", schema=input.shape)}


@task("leasing", needs={"gpu": 1})
def leasing(ctx: JobContext, input: dict[str, Any]) -> dict[str, Any]:
    """Ask for a verdict, holding something scarce meanwhile."""
    return {"verdict": ctx.ask("Is it good?", schema=VERDICT)}


@task("listening", takes_input=True)
def listening(ctx: JobContext, input: dict[str, Any]) -> dict[str, Any]:
    """Repeat what it is told, until it is told to stop."""
    heard = []
    for data in ctx.inputs():
        if data == "stop":
            break
        heard.append(data)
        ctx.text(f"{data}\n")
    return {"heard": heard}


@task("failing")
def failing(ctx: JobContext, input: dict[str, Any]) -> None:
    """Say a word, then raise."""
    ctx.text("so far ")
    raise RuntimeError("that is all")


class Size(BaseModel):
    bytes: int


@task("large-text", input=Size)
def large_text(ctx: JobContext, input: Size) -> None:
    """Emit one text of so many bytes."""
    ctx.text("0123456789abcdef" * (input.bytes // 16))


@task("large-output", input=Size)
def large_output(ctx: JobContext, input: Size) -> dict[str, str]:
    """Return an output of so many bytes."""
    return {"blob": "x" * input.bytes}


@task("odd-text")
def odd_text(ctx: JobContext, input: dict[str, Any]) -> None:
    """Emit a character in halves, as some servers write it, and half of one."""
    ctx.text("before \ud83d")
    ctx.text("\ude00 ")
    ctx.text("\ud800")


class Volume(BaseModel):
    events: int


@task("talkative", input=Volume)
def talkative(ctx: JobContext, input: Volume) -> Iterator[str]:
    """Emit so many pieces of text, then ask for a verdict."""
    for number in range(input.events):
        yield f"{number} "
    ctx.ask("Is it good?")


class Artifact(BaseModel):
    name: str
    media_type: str = "text/html"
    versions: list[str]


@task("making", input=Artifact)
def making(ctx: JobContext, input: Artifact) -> dict[str, str]:
    """Make an artifact, as often as there are versions of it."""
    href = ""
    for version in input.versions:
        href = ctx.artifact(input.name, version, media_type=input.media_type)
    return {"href": href}


class Diary(BaseModel):
    #: Where each run of a step leaves a line.
    path: str


@task("diary", steps=["one", "two", "three"], input=Diary)
def diary(ctx: JobContext, input: Diary) -> dict[str, str]:
    """Three steps that count their runs; the second waits for a verdict."""
    return {"text": "".join(ctx.step(id, _write, ctx, input, id) for id in ("one", "two", "three"))}


def _write(ctx: JobContext, input: Diary, id: str) -> Iterator[str]:
    with Path(input.path).open("a", encoding="utf-8") as file:
        file.write(f"{id} of attempt {ctx.attempt}\n")
    text = f"{id} by attempt {ctx.attempt}\n"
    yield text
    if id == "two":
        ctx.ask("Go on?")
    return text


@task("once-only", retry=False)
def once_only(ctx: JobContext, input: dict[str, Any]) -> None:
    """Must not be tried again when its worker is lost."""
    ctx.text("begun ")
    ctx.sleep(600)


class Chorus(BaseModel):
    word: str
    times: int


@task("talking-then-failing", input=Chorus)
def talking_then_failing(ctx: JobContext, input: Chorus) -> None:
    """Say the word so many times, then raise."""
    for _ in range(input.times):
        ctx.text(input.word)
    raise RuntimeError("that is all")


@task("pausing-before-large-text", input=Size)
def pausing_before_large_text(ctx: JobContext, input: Size) -> None:
    """Wait for a word, then emit one text of so many bytes."""
    ctx.ask("Ready?")
    ctx.text("0123456789abcdef" * (input.bytes // 16))


@task("asking-then-sleeping")
def asking_then_sleeping(ctx: JobContext, input: dict[str, Any]) -> None:
    """Ask for a verdict, then sleep."""
    ctx.ask("Is it good?", schema=VERDICT)
    ctx.sleep(600)


@task("chorus-then-asking", input=Chorus)
def chorus_then_asking(ctx: JobContext, input: Chorus) -> None:
    """Say the word so many times, then ask for a verdict."""
    for _ in range(input.times):
        ctx.text(input.word)
    ctx.ask("Is it good?")


class Fuse(BaseModel):
    after_s: float = 0


@task("killing", input=Fuse)
def killing(ctx: JobContext, input: Fuse) -> None:
    """End the whole process."""
    ctx.sleep(input.after_s)
    os._exit(9)


class Flood(BaseModel):
    #: Bytes of each piece of text, pieces, and seconds between two.
    bytes: int = 8000
    count: int = 1200
    pause_s: float = 0.002


@task("flooding", input=Flood)
def flooding(ctx: JobContext, input: Flood) -> None:
    """Wait for a word, then emit more text than a slow reader's socket takes."""
    ctx.ask("Ready?")
    for number in range(input.count):
        ctx.text(f"{number:08}" * (input.bytes // 8))
        ctx.sleep(input.pause_s)
