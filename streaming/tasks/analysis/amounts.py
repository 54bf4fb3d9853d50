"""Figures as people read them."""

from __future__ import annotations

import re

import numpy as np

#: What columns of years are called; a year has no thousands.
_YEAR = re.compile(
    r"(?:^|[\W_])(?:yr|année|annee|an|año|ano|anno|rok|év|år|jaar|vuosi|год|yıl)(?:$|[\W_])|"
    r"year(?!ly)|jahr(?!l)|年",  # FiscalYear, yearbuilt, Baujahr
    re.IGNORECASE,
)
#: Below this a figure is written with an exponent.
_TINY = 1e-12


def are_years(name: str, low: float, high: float) -> bool:
    """Whether a column is of years: called so, with figures between 1000 and 2999."""
    return _YEAR.search(name) is not None and 1000 <= low <= high < 3000


def amount(value: float) -> str:
    """A figure for people: thousands grouped, two decimals where it is not whole."""
    if value == int(value):
        return f"{value + 0.0:,.0f}"
    return f"{value:,.2f}" if abs(value) >= 1 else _small(value, 4)


def _small(value: float, digits: int) -> str:
    """So many digits of a figure below 1, without an exponent."""
    if abs(value) < _TINY:
        return f"{value:.{digits}g}"
    return np.format_float_positional(value, digits, fractional=False, trim="-")


def figure(value: float, *, year: bool = False) -> str:
    """A figure of a table of figures: more decimals than `amount`, none that say nothing."""
    size = abs(value)
    if size >= 1e21:
        return f"{value:.6g}"
    if 0 < size < 1e-4:
        return _small(value, 6)
    decimals = 2 if size >= 1000 else 4 if size >= 1 else 6
    text = f"{value + 0.0:,.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace(",", "") if year else text
