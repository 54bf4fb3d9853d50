"""Cells of a column as figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streaming.tasks.tables.numbers import is_missing, value_of


def figures_of(cells: Sequence[str], mark: str) -> NDArray[np.float64]:
    """The figures with this decimal mark, NaN where one is missing. `ValueError`: it is none."""
    if mark == ".":
        try:
            return np.array([float(cell) if cell else np.nan for cell in cells]) + 0.0
        except ValueError:
            pass  # written in more than digits and a point
    return np.array(
        [np.nan if is_missing(cell) else value_of(cell, mark) for cell in cells], dtype=np.float64
    )
