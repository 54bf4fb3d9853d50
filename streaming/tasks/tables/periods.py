"""What the labels of periods say about time: what all of a column decide, never one by one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from streaming.tasks.tables.months import month_words, plain
from streaming.tasks.tables.notations import NAMED, NUMERIC, PATTERNS, WITHOUT_YEAR
from streaming.tasks.tables.refusal import BadCsv, shown

#: Cells that are no dates after which none are sought, unless more of them were.
PATIENCE = 50

#: Where a period is in time: year, month, day, seconds, and minutes east of UTC (None: not said).
Moment = tuple[int, int, int, float, int | None]


@lru_cache(maxsize=65536)
def moments_of(cell: str) -> dict[tuple[str, str], Moment]:
    """What a trimmed cell means: by notation and language ('' where it has no word)."""
    found: dict[tuple[str, str], Moment] = {}
    if len(cell) > 48 or not cell:
        return found
    for name, pattern in PATTERNS.items():
        match = pattern.fullmatch(cell)
        if match is not None:
            for language, month in _months(match):
                moment = _moment(match, month)
                if moment is not None and (name != "fiscal year" or _is_next(match)):
                    found[(name, language)] = moment
    return found


def _months(match: re.Match[str]) -> list[tuple[str, int | None]]:
    parts = match.groupdict()
    if parts.get("word") is None:
        return [("", None)]
    meanings = month_words().get(plain(parts["word"]), {})
    return [(language, month) for month, languages in meanings.items() for language in languages]


def _is_next(match: re.Match[str]) -> bool:
    return (int(match["y"]) + 1) % 100 == int(match["next"]) % 100


def _moment(match: re.Match[str], named: int | None) -> Moment | None:
    parts = {name: value for name, value in match.groupdict().items() if value is not None}
    year = int(parts.get("y", parts.get("y2", "2000")).lstrip("'’"))
    quarter = parts.get("q") or parts.get("q2") or parts.get("q3")
    half = parts.get("half_year") or parts.get("half2")
    full = year if year > 99 else 2000 + year
    try:
        if "w" in parts:
            day = date.fromisocalendar(full, int(parts["w"]), int(parts.get("wd", 1)))
            return (year + day.year - full, day.month, day.day, 0.0, None)
        month = named or int(parts.get("m", 1))
        if quarter or half:
            month = 3 * int(quarter or 1) - 2 if quarter else 6 * int(half or 1) - 5
        day = date(full, month, int(parts.get("d", 1)))
        return (year, day.month, day.day, *_time(parts))
    except ValueError:
        return None


def _time(parts: dict[str, str]) -> tuple[float, int | None]:
    hour, minute = int(parts.get("h", 0)), int(parts.get("min", 0))
    second = float(parts.get("s", "0").replace(",", "."))
    half = parts.get("half", "").lower().replace(".", "")
    if hour > (12 if half else 24) or (half and not hour) or minute > 59 or second >= 61:
        raise ValueError("no time of a day")
    if half:
        hour = hour % 12 + (12 if half == "pm" else 0)
    return hour * 3600 + minute * 60 + second, _zone(parts.get("zone"))


def _zone(zone: str | None) -> int | None:
    if zone is None:
        return None
    digits = re.sub("[^0-9]", "", zone)
    minutes = int(digits[:2] or 0) * 60 + int(digits[2:4] or 0)
    return -minutes if zone[0] in "-−" else minutes


@dataclass(frozen=True, slots=True)
class Order:
    """How the labels of a column lie in time."""

    #: The notation, in words.
    notation: str
    #: For each label its place in time: equal for the same period, smaller for an earlier one.
    ranks: list[int]


class Timeline:
    """What the labels of one column leave possible."""

    def __init__(self) -> None:
        self.alive: set[tuple[str, str]] | None = None
        #: Of the others, `foreign` are dates in a notation that not all of those above share.
        self.dates = self.others = self.foreign = 0
        self.first_other: tuple[int, str] | None = None

    def add(self, lines: Iterable[int], cells: Iterable[str]) -> None:
        """Take in cells that are not missing, each with its line, while they may be dates."""
        for line, cell in zip(lines, cells, strict=True):
            if self.others > max(PATIENCE, self.dates):
                return
            found = moments_of(cell)
            left = found.keys() if self.alive is None else self.alive & found.keys()
            if not left:
                self.others += 1
                self.foreign += bool(found)
                self.first_other = self.first_other or (line, cell)
                continue
            self.dates += 1
            self.alive = set(left)

    def notations(self, asked: str | None) -> set[tuple[str, str]]:
        """What is possible with this `date_order`: none where the labels contradict it."""
        alive = self.alive or set()
        names = {name for name, _ in alive}
        for group in (NUMERIC, *NAMED):
            known = names & group.keys()
            if asked is not None and (len(known) > 1 or (known and group is NUMERIC)):
                alive = {each for each in alive if asked in group.get(each[0], asked).split()}
        return alive

    def order(
        self, lines: Sequence[int], cells: Sequence[str], column: str, asked: str | None
    ) -> Order:
        """The order of time; `BadCsv` names the option where it stays open."""
        alive = self.notations(asked)
        if not alive:
            raise BadCsv(
                f"{shown(cells[0])} is no date in the order {asked}",
                lines[0],
                column,
                option="date_order",
            )
        names = {name for name, _ in alive}
        if len(names & NUMERIC.keys()) > 1:
            raise self._open(lines, cells, column, names & NUMERIC.keys())
        ways = _ways(cells, alive, lines, column)
        different: dict[tuple[int, ...], dict[str, None]] = {}
        for (name, _), places in ways.items():
            different.setdefault(tuple(places), {})[name] = None
        if len(different) > 1:
            different = {ranks: each for ranks, each in different.items() if _is_monotone(ranks)}
        if len(different) != 1:
            raise self._open(lines, cells, column, names)
        ranks, agreed = next(iter(different.items()))
        return Order(" or ".join(agreed), list(ranks))

    def _open(
        self, lines: Sequence[int], cells: Sequence[str], column: str, names: set[str]
    ) -> BadCsv:
        ways = " or ".join(sorted(names))
        problem = f"{shown(cells[0])} and the others may be {ways}; the option date_order decides"
        return BadCsv(problem, lines[0], column, option="date_order")


def _ways(
    cells: Sequence[str], alive: set[tuple[str, str]], lines: Sequence[int], column: str
) -> dict[tuple[str, str], list[int]]:
    """The order by each notation that gives one; `BadCsv` where none does."""
    ways: dict[tuple[str, str], list[int]] = {}
    failure: BadCsv | None = None
    for each in sorted(alive):
        try:
            ways[each] = _ranks(_places(cells, each, lines, column))
        except BadCsv as error:
            failure = error
    if not ways and failure is not None:
        raise failure
    return ways


def _ranks(places: Sequence[float]) -> list[int]:
    known = {place: rank for rank, place in enumerate(sorted(set(places)))}
    return [known[place] for place in places]


def _is_monotone(ranks: Sequence[int]) -> bool:
    pairs = list(zip(ranks, ranks[1:], strict=False))
    return len(ranks) > 2 and (all(a < b for a, b in pairs) or all(a > b for a, b in pairs))


def _places(
    cells: Sequence[str], notation: tuple[str, str], lines: Sequence[int], column: str
) -> list[float]:
    moments = [moments_of(cell)[notation] for cell in cells]
    zones = {moment[4] is None for moment in moments}
    if len(zones) > 1:
        raise BadCsv("some times have a zone, some have none", lines[0], column)
    if notation[0] in WITHOUT_YEAR:
        return _within_years(moments, notation[0], lines[0], column)
    years = _full_years([moment[0] for moment in moments], lines[0], column)
    return [
        date(year, moment[1], moment[2]).toordinal() * 86400.0 + moment[3] - 60 * (moment[4] or 0)
        for year, moment in zip(years, moments, strict=True)
    ]


def _full_years(years: Sequence[int], line: int, column: str) -> list[int]:
    """Years of two digits lie within half a century: the widest gap is where it begins."""
    if min(years) > 99:
        return list(years)
    if max(years) > 99:
        raise BadCsv("some years have two digits, some have four", line, column)
    known = sorted(set(years))
    behind = [*known[1:], known[0]]
    gaps = [(after - year) % 100 or 100 for year, after in zip(known, behind, strict=True)]
    widest = max(gaps)
    if widest <= 50:
        raise BadCsv("years of two digits that may be of two centuries; write four", line, column)
    first = behind[gaps.index(widest)]
    return [(1900 if first > 68 else 2000) + first + (year - first) % 100 for year in years]


def _within_years(moments: Sequence[Moment], notation: str, line: int, column: str) -> list[float]:
    """Places in a year that is not said: in the year's order forwards or backwards, or one step
    after the other over a new year. `BadCsv` where they are in neither, or may be in both.
    """
    places = [_place(moment, notation) for moment in moments]
    met = list(dict.fromkeys(places))
    steps = [b - a for a, b in zip(met, met[1:], strict=False)]
    around = _AROUND.get(notation, (365, 366))
    forwards = all(step > 0 for step in steps) or all(
        step == 1 or 1 - step in around for step in steps
    )
    backwards = all(step < 0 for step in steps) or all(
        step == -1 or step + 1 in around for step in steps
    )
    if forwards == backwards and len(met) > 1:
        raise BadCsv("periods without a year whose order is open; write the year", line, column)
    order = {place: at if forwards else -at for at, place in enumerate(met)}
    return [float(order[place]) for place in places]


#: How many steps lead once around the year.
_AROUND = {"month name": (12,), "quarter": (4,), "week": (52, 53), "time": (86400,)}


def _place(moment: Moment, notation: str) -> int:
    if notation == "month name":
        return moment[1]
    if notation == "time":
        return int(moment[3])
    if notation == "quarter":
        return (moment[1] - 1) // 3
    day = date(2000, moment[1], moment[2]).timetuple().tm_yday
    return day // 7 if notation == "week" else day
