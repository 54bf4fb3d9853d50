"""The order of labels that are no dates but count: `Month 3`, `P12`, `Fri`, `IV 2024`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache

from babel import Locale

from streaming.tasks.tables.months import LANGUAGES, plain

_NUMBER = re.compile(r"[0-9]{1,15}")
#: What is written behind a year of which figures are estimates, or not.
_MARK = re.compile(r"(?<=[0-9]{4})\s?(?:[AEFPBaefpb]|est\.?|\*+)$|\s?\*+$")
#: Numbers that are written as letters or words, mostly of quarters.
_WORDS = {
    word: at
    for words in ("i ii iii iv", "first second third fourth", "erstes zweites drittes viertes")
    for at, word in enumerate(words.split(), start=1)
}
_WORD = re.compile(rf"\b(?:{'|'.join(_WORDS)})\b", re.IGNORECASE)
_ORDINAL = re.compile(r"(?<=[0-9])(?:st|nd|rd|th)\b", re.IGNORECASE)
#: The last quarter, day of a week, month, hour, day of a month, week: 1, or 0, comes next.
_LAST = (4, 6, 7, 12, 23, 24, 28, 29, 30, 31, 52, 53)

Ranks = list[int]


def ranks_of(cells: Sequence[str]) -> tuple[str, Ranks] | None:
    """What counts the labels, and the place of each; None where they do not tell an order."""
    numbered = _numbered(cells)
    if numbered is not None:
        return "numbered labels", numbered
    days = _days(cells)
    return ("days of the week", days) if days is not None else None


def _numbered(cells: Sequence[str]) -> Ranks | None:
    """By the numbers in them, where all else is the same. One that varies says it alone, unless it
    begins anew. Of several it is open which counts most: from the left or from the right, as the
    rows are in order.
    """
    texts = [_WORD.sub(_digit, _ORDINAL.sub("", _MARK.sub("", cell))) for cell in cells]
    if len({_NUMBER.sub("#", text).casefold() for text in texts}) != 1:
        return None
    columns = zip(*(map(int, _NUMBER.findall(text)) for text in texts), strict=True)
    varying = [numbers for numbers in columns if len(set(numbers)) > 1]
    if not varying:
        return None
    if len(varying) == 1:
        return None if begins_anew(varying[0]) else _ranks(list(zip(*varying, strict=True)))
    ways = {tuple(_ranks(list(zip(*way, strict=True)))) for way in (varying, varying[::-1])}
    if max(map(max, ways)) < 2:
        return None  # two periods are always in order
    in_order = [list(way) for way in ways if list(way) in (sorted(way), sorted(way, reverse=True))]
    return in_order[0] if len(in_order) == 1 else None


def begins_anew(numbers: Sequence[float]) -> bool:
    """Whether they count round, as months do over a new year: 11, 12, 1, or backwards. Then their
    size is not their order.
    """
    met = list(dict.fromkeys(numbers))
    if min(met) not in (0, 1) or max(met) not in _LAST:
        return False
    for way in (met, met[::-1]):
        falls = [at for at in range(len(way)) if way[at] < way[at - 1]]
        if len(falls) == 1 and falls[0] != 0:
            return True
    return False


def _digit(word: re.Match[str]) -> str:
    return str(_WORDS[word.group().casefold()])


def _ranks(keys: Sequence[tuple[int, ...]]) -> Ranks:
    places = {key: rank for rank, key in enumerate(sorted(set(keys)))}
    return [places[key] for key in keys]


def _days(cells: Sequence[str]) -> Ranks | None:
    """One day after the other, forwards or backwards, perhaps over a week's end."""
    for days in _weekdays():
        if all(plain(cell) in days for cell in cells):
            break
    else:
        return None
    met = list(dict.fromkeys(days[plain(cell)] for cell in cells))
    steps = [(b - a) % 7 for a, b in zip(met, met[1:], strict=False)]
    if not steps or len(set(steps)) != 1 or steps[0] not in (1, 6):
        return None
    order = met if steps[0] == 1 else met[::-1]
    return [order.index(days[plain(cell)]) for cell in cells]


@cache
def _weekdays() -> list[Mapping[str, int]]:
    """By language: the names of the days, from Monday."""
    return [
        {
            plain(name): day
            for context in ("format", "stand-alone")
            for width in ("wide", "abbreviated")
            for day, name in Locale.parse(language).days[context][width].items()
        }
        for language in LANGUAGES
    ]
