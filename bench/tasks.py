"""Tasks to be watched, cut off and killed: servers load them through STREAMING_TASKS."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, Field

from streaming import JobContext, task

STEPS = ("plan", "draft", "review")

#: What text must survive besides words: line ends, quotes, other scripts, separators, NUL.
ODDITIES = ("\n", "\r\n", "\r", '"', "\\", "größer ", "世界", "🚀", "\u2028", "\0", "data: x\n\n")


class Script(BaseModel):
    """How much to say in each step, and how fast."""

    bursts: int = Field(8, ge=1)
    words: int = Field(3, ge=1)
    pause_s: float = Field(0.8, ge=0)
    #: A file to which each run of a step adds a line: its id and the attempt.
    runs: str | None = None


@task("random-steps", steps=STEPS, input=Script)
def random_steps(ctx: JobContext, input: Script) -> dict[str, str]:
    """Say in three steps what is different at every run."""
    return {"text": "".join(ctx.step(step, speak, ctx, input, step) for step in STEPS)}


@task("random-steps-cooperative", steps=STEPS, input=Script, cooperative=True)
def random_steps_cooperative(ctx: JobContext, input: Script) -> dict[str, str]:
    """The same as a greenlet, where there are greenlets."""
    return {"text": "".join(ctx.step(step, speak, ctx, input, step) for step in STEPS)}


def speak(ctx: JobContext, script: Script, step: str) -> Iterator[str]:
    """Yield words in bursts; return them all."""
    if script.runs is not None:
        note_run(script.runs, f"{step} {ctx.attempt}")
    text = ""
    for burst in range(script.bursts):
        ctx.sleep(random.uniform(0.5, 1.5) * script.pause_s)
        for _ in range(script.words):
            word = os.urandom(4).hex() + random.choice(ODDITIES)
            text += word
            yield word
        ctx.progress(burst + 1, script.bursts)
    return text


def note_run(path: str, line: str) -> None:
    """Add a line to a file, whole, so that a kill the moment after cannot take it back."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(file, f"{line}\n".encode())
    os.close(file)


@task("ticking")
def ticking(ctx: JobContext, input: dict[str, Any]) -> None:
    """Emit a little every hundredth of a second, in a thread, until it is stopped."""
    while True:
        ctx.text("tick ")
        ctx.sleep(0.01)


@task("checking")
def checking(ctx: JobContext, input: dict[str, Any]) -> None:
    """Emit nothing, but check now and then whether it is to stop."""
    ctx.text("checking ")
    while True:
        _work_a_little()
        ctx.raise_if_cancelled()


def _work_a_little() -> None:
    sum(range(20_000))


@task("stamped-steps", steps=STEPS, input=Script)
def stamped_steps(ctx: JobContext, input: Script) -> dict[str, str]:
    """Random steps of which every word says which attempt has said it."""
    return {"text": "".join(ctx.step(step, speak_stamped, ctx, input, step) for step in STEPS)}


def speak_stamped(ctx: JobContext, script: Script, step: str) -> Iterator[str]:
    """Yield words in bursts, each with the number of the attempt; return them all."""
    text = ""
    for word in (words := speak(ctx, script, step)):
        stamped = f"[{ctx.attempt}]{word}"
        text += stamped
        yield stamped
    words.close()
    return text


@task("ticking-slowly")
def ticking_slowly(ctx: JobContext, input: dict[str, Any]) -> None:
    """Emit a little every two seconds, until it is stopped."""
    while True:
        ctx.text("tick ")
        ctx.sleep(2)


class Stamps(BaseModel):
    """How many events, how many a second, and how long nothing is said before."""

    count: int = Field(500, ge=1)
    per_s: float = Field(100, gt=0)
    quiet_s: float = Field(0, ge=0)


@task("stamping", input=Stamps)
def stamping(ctx: JobContext, input: Stamps) -> Iterator[str]:
    """Say what time it is, again and again."""
    ctx.sleep(input.quiet_s)
    began = time.monotonic()
    for number in range(1, input.count + 1):
        ctx.sleep(max(0.0, began + number / input.per_s - time.monotonic()))
        yield f"{time.time():.6f}\n"


@task("quiet")
def quiet(ctx: JobContext, input: dict[str, Any]) -> None:
    """Say nothing until it is stopped."""
    ctx.sleep(3600)
