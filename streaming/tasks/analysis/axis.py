"""Round figures for the axis of a chart, and their labels."""

from __future__ import annotations

import math
from collections.abc import Sequence

from streaming.tasks.analysis.trends import TINY

#: The share of a step that is taken for a rounding error.
ROUNDING = 1e-6
_SIZES = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def ticks(low: float, high: float) -> list[float]:
    """Three to seven round figures, from `low` or below to `high` or above."""
    if high - low <= TINY * max(1.0, abs(low), abs(high)):
        low, high = min(low, 0.0), max(high, 0.0)
    if high - low <= TINY:
        low, high = -1.0, 1.0
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough)
    first, last = math.floor(low / step + ROUNDING), math.ceil(high / step - ROUNDING)
    return [step * at for at in range(first, last + 1)]


def labels(ticks: Sequence[float]) -> list[str]:
    """Each tick in few characters (1.5M, 20k, 0.25), with the decimals that tell them apart."""
    step = ticks[1] - ticks[0]
    peak = max(map(abs, ticks))
    size, suffix = next((each for each in _SIZES if peak >= each[0]), (1.0, ""))
    decimals = next(
        decimals
        for decimals in range(16)
        if all(abs(round(tick / size, decimals) * size - tick) < step / 100 for tick in ticks)
    )
    return [f"{tick / size:,.{decimals}f}{suffix}" if tick else "0" for tick in ticks]
