"""The tasks with which the cost of task hosts is measured."""

from __future__ import annotations

import time

from pydantic import BaseModel

from streaming import JobContext, task


class Pace(BaseModel):
    """For how long, and how many events a second."""

    seconds: float = 10
    rate: float = 50


@task("pacing", input=Pace)
def pacing(ctx: JobContext, input: Pace) -> None:
    """Say what time it is, again and again."""
    began = time.monotonic()
    for number in range(int(input.seconds * input.rate)):
        ctx.text(f"{time.time():.6f}")
        ctx.sleep(began + (number + 1) / input.rate - time.monotonic())


@task("computing")
def computing(ctx: JobContext, input: None) -> None:
    """Hold the interpreter as plain Python code does, until it is cancelled."""
    number = 1
    while not ctx.cancelled:
        for _ in range(1_000_000):
            number = number * 6364136223846793005 % (1 << 64) + 1
