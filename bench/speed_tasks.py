"""Jobs for measuring: each event tells when it was made."""

from __future__ import annotations

import time
from typing import Any

from streaming import JobContext, task


def stamped(size: int) -> str:
    return f"{time.time():.6f}".ljust(size, "x")


@task("speed-fan", takes_input=True, cooperative=True)
def fan(ctx: JobContext, input: dict[str, Any]) -> None:
    """Wait for an order, and emit what it says."""
    order = next(ctx.inputs())
    began = time.monotonic()
    for number in range(order["m"]):
        if order["rate"]:
            ctx.sleep(max(0.0, began + number / order["rate"] - time.monotonic()))
        ctx.text(stamped(order["size"]))
    ctx.sleep(600)


@task("speed-tokens", cooperative=True)
def tokens(ctx: JobContext, input: dict[str, Any]) -> None:
    """Emit tokens at a person's pace."""
    began = time.monotonic()
    for number in range(input["n"]):
        ctx.sleep(max(0.0, began + (number + 1) / input["rate"] - time.monotonic()))
        ctx.text(stamped(18))
