"""Tasks that misbehave, for the servers under test: loaded through STREAMING_TASKS."""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
from typing import Any

from pydantic import BaseModel

from bench.tasks import (  # noqa: F401 - well-behaved ones
    checking,
    random_steps,
    random_steps_cooperative,
    ticking,
)
from streaming import JobContext, task


class Amount(BaseModel):
    amount: int = 10


@task("spinning")
def spinning(ctx: JobContext, input: dict[str, Any]) -> None:
    """Compute for ever in pure Python."""
    while True:
        pass


@task("blocked", input=Amount)
def blocked(ctx: JobContext, input: Amount) -> None:
    """Sleep so many seconds in C, where nothing wakes it."""
    ctypes.CDLL(None).sleep(input.amount)


@task("swallowing")
def swallowing(ctx: JobContext, input: dict[str, Any]) -> None:
    """Go on after whatever is raised."""
    while True:
        try:
            ctx.text("still here ")
            ctx.sleep(0.01)
        except BaseException:  # noqa: BLE001 - that is the fault
            pass


@task("swallowing-cooperative", cooperative=True)
def swallowing_cooperative(ctx: JobContext, input: dict[str, Any]) -> None:
    """Go on after whatever is raised, in the event loop."""
    while True:
        try:
            ctx.text("still here ")
            ctx.sleep(0.01)
        except BaseException:  # noqa: BLE001 - that is the fault
            pass


@task("own-loop")
def own_loop(ctx: JobContext, input: dict[str, Any]) -> dict[str, int]:
    """Run an event loop of its own, with a few coroutines in it."""

    async def nap(number: int) -> int:
        await asyncio.sleep(0.05)
        ctx.text(f"{number} ")
        return number

    async def main() -> list[int]:
        return await asyncio.gather(*map(nap, range(5)))

    return {"sum": sum(asyncio.run(main()))}


@task("killing", input=Amount)
def killing(ctx: JobContext, input: Amount) -> None:
    """End the whole process with this exit code."""
    ctx.text("good-bye ")
    os._exit(input.amount)


@task("exiting")
def exiting(ctx: JobContext, input: dict[str, Any]) -> None:
    """Leave as a script would."""
    sys.exit("I am done here")


@task("quiet")
def quiet(ctx: JobContext, input: dict[str, Any]) -> None:
    """Say nothing until it is stopped."""
    ctx.sleep(600)


@task("counting", input=Amount)
def counting(ctx: JobContext, input: Amount) -> dict[str, int]:
    """Say numbers, one every fiftieth of a second."""
    for number in range(input.amount):
        ctx.text(f"{number} ")
        ctx.sleep(0.02)
    return {"count": input.amount}
