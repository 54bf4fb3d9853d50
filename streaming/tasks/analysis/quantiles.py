"""Exact quantiles of columns of any length, in bounded memory.

A first look counts figures by their leading bits, further ones look closer at those in which a
quantile lies, until so few figures are left that they can be held and sorted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Figures = NDArray[np.float64]

SHARES = {"25%": 0.25, "50%": 0.5, "75%": 0.75}
#: Bits that one look tells apart, and figures that are held at once for all columns.
BITS, MAX_HELD = 12, 1 << 21


def _keys(figures: Figures) -> NDArray[np.uint64]:
    """Whole numbers in the same order as the figures."""
    bits = np.ascontiguousarray(figures + 0.0).view(np.uint64)
    sign = np.uint64(1 << 63)
    return np.where(bits & sign != 0, ~bits, bits | sign)


@dataclass
class _Range:
    """Figures that share their first bits, and the places in the sorted column that they take."""

    prefix: int
    bits: int
    #: The place of the smallest of them, and the places that are sought.
    start: int
    sought: list[int]
    counts: NDArray[np.int64] | None = None
    held: list[Figures] = field(default_factory=list)
    low: float = math.inf
    high: float = -math.inf


class Quantiles:
    """The quantiles of one column: `look` at all of its figures, `turn`, until `is_done`."""

    def __init__(self, count: int, room: int) -> None:
        """`count` figures in all, of which `room` may be held at once."""
        self._count, self._room = count, max(64, room // (2 * len(SHARES)))
        self._found: dict[int, float] = {}
        places = {
            place
            for share in SHARES.values()
            for place in (math.floor(share * (count - 1)), math.ceil(share * (count - 1)))
        }
        self._ranges = [_Range(0, 0, 0, sorted(places))] if count else []
        for each in self._ranges:
            self._prepare(each, count)

    @property
    def is_done(self) -> bool:
        return not self._ranges

    def look(self, figures: Figures) -> None:
        """Take in a part of the column."""
        keys = _keys(figures)
        for each in self._ranges:
            mine, inside = keys, figures
            if each.bits:
                chosen = keys >> np.uint64(64 - each.bits) == np.uint64(each.prefix)
                mine, inside = keys[chosen], figures[chosen]
            if not len(mine):
                continue
            each.low = min(each.low, float(inside.min()))
            each.high = max(each.high, float(inside.max()))
            if each.counts is None:
                each.held.append(inside.copy())
            else:
                width = min(BITS, 64 - each.bits)
                next_bits = (mine >> np.uint64(64 - each.bits - width)) & np.uint64(
                    (1 << width) - 1
                )
                each.counts += np.bincount(next_bits.astype(np.int64), minlength=1 << BITS)

    def turn(self) -> None:
        """Settle what a look has found, and say what the next one is to look at."""
        closer: list[_Range] = []
        for each in self._ranges:
            if each.low == each.high:
                self._found |= dict.fromkeys(each.sought, each.low)
            elif each.counts is None:
                known = np.sort(np.concatenate(each.held))
                self._found |= {at: float(known[at - each.start]) for at in each.sought}
            else:
                closer += self._within(each, each.counts)
        self._ranges = closer

    def _within(self, wide: _Range, counts: NDArray[np.int64]) -> list[_Range]:
        width = min(BITS, 64 - wide.bits)
        ends = wide.start + np.cumsum(counts)
        found: dict[int, _Range] = {}
        for place in wide.sought:
            at = int(np.searchsorted(ends, place, side="right"))
            start = int(ends[at]) - int(counts[at])
            prefix = (wide.prefix << width) | at
            known = found.setdefault(at, _Range(prefix, wide.bits + width, start, []))
            known.sought.append(place)
        for at, each in found.items():
            self._prepare(each, int(counts[at]))
        return list(found.values())

    def _prepare(self, each: _Range, count: int) -> None:
        """Hold the figures where they are few, else count them."""
        if count > self._room and each.bits < 64:
            each.counts = np.zeros(1 << BITS, dtype=np.int64)

    def result(self) -> dict[str, float | None]:
        """The quantiles, linear between the two nearest figures; None of a column without any."""
        if not self._count:
            return dict.fromkeys(SHARES)
        return {name: self._at(share * (self._count - 1)) for name, share in SHARES.items()}

    def _at(self, place: float) -> float:
        low, high = self._found[math.floor(place)], self._found[math.ceil(place)]
        share = place - math.floor(place)
        if not math.isfinite(high - low):
            return low * (1 - share) + high * share
        return low + (high - low) * share if share < 0.5 else high - (high - low) * (1 - share)
