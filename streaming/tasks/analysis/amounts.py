"""Figures as people read them."""

from __future__ import annotations

import re

#: What columns of years are called; a year has no thousands.
_YEAR = re.compile(
    r"(?:^|[\W_])(?:years?|yr|jahre?|année|annee|an|año|ano|anno|rok|év|år|jaar|vuosi|год|yıl)"
    r"(?:$|[\W_])|年",
    re.IGNORECASE,
)


def are_years(name: str, low: float, high: float) -> bool:
    """Whether a column is of years: called so, with figures between 1000 and 2999."""
    return _YEAR.search(name) is not None and 1000 <= low <= high < 3000


def amount(value: float) -> str:
    """A figure for people: thousands grouped, two decimals where it is not whole."""
    if value == int(value):
        return f"{value:,.0f}"
    return f"{value:,.2f}" if abs(value) >= 1 else f"{value:.4g}"


def figure(value: float, *, year: bool = False) -> str:
    """A figure of a table of figures: more decimals than `amount`, none that say nothing."""
    size = abs(value)
    if size >= 1e21 or 0 < size < 1e-4:
        return f"{value:.6g}"
    decimals = 2 if size >= 1000 else 4 if size >= 1 else 6
    text = f"{value:,.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace(",", "") if year else text
