"""How the figures of a column are written: what all of its cells decide, never one by one."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from babel import Locale
from babel.core import get_global

from streaming.tasks.tables.refusal import BadCsv, shown

#: Cells that stand for a missing value, in lower case.
MISSING = frozenset(
    ["", "na", "n/a", "n.a.", "nan", "-nan", "null", "none", "nil", "<na>", "nat", "(null)", "\\n"]
    + ["-", "--", "---", "–", "—", "−", "..", "...", "…", "?", "*", "k.a.", "k. a.", "n.d."]
    + ["n.v.", "s/d", "s.d.", "tbd", "missing", "not available", "-1.#ind", "1.#ind", "1.#qnan"]
    + ["#n/a", "#na", "#n/a n/a", "#value!", "#div/0!", "#ref!", "#num!", "#null!", "#name?"]
    + ["#spill!", "#calc!", "#getting_data"]
)
_LONGEST = max(map(len, MISSING))
#: Cells that are no figures after which none are sought, unless one in twenty was.
PATIENCE = 1000
#: Maximum characters of a cell that is a figure.
MAX_CELL = 64

#: Digits and signs as wide as the characters of East Asia.
_WIDE = {wide: wide - 0xFEE0 for wide in map(ord, "０１２３４５６７８９．，－＋％（）")}
#: Nothing behind the decimal mark, as in 12,– or 1.234,-: the dash is no minus.
_DASHED = re.compile(r"(?<=[0-9][.,])(?:[-−–—]{1,2})(?![0-9])")
_SPACES = " \u00a0\u2009\u202f"
_QUOTES = "'’"
_MINUS = "-−–"
#: A notation is a decimal mark and what groups thousands; a column's are a set of bits.
_NOTATIONS = tuple((mark, group) for mark in ".," for group in (".,"[mark == "."], "'", " "))
_ALL = (1 << len(_NOTATIONS)) - 1
_POINT = sum(1 << at for at, (mark, _) in enumerate(_NOTATIONS) if mark == ".")


def is_missing(cell: str) -> bool:
    """Whether a trimmed cell stands for nothing."""
    return not cell or (len(cell) <= _LONGEST and cell.lower() in MISSING)


def _pattern(mark: str, group: str) -> re.Pattern[str]:
    signs = {"'": _QUOTES, " ": _SPACES}.get(group, group)
    grouped = rf"[1-9][0-9]{{0,2}}(?:[{signs}][0-9]{{3}})+"
    if group == ",":  # as in India: 12,34,567
        grouped = rf"(?:{grouped}|[1-9][0-9]?(?:,[0-9]{{2}})+,[0-9]{{3}})"
    return re.compile(
        rf"(?=[{mark}]?[0-9])(?:{grouped}|[0-9]*)(?:[{mark}][0-9]*)?(?:[eE][+-]?[0-9]{{1,3}})?"
    )


_PATTERNS = tuple(_pattern(*each) for each in _NOTATIONS)
_CORE = re.compile(rf"[0-9.,][0-9.,{_QUOTES}{_SPACES}]*(?:[eE][+-]?[0-9]{{1,3}})?")


@dataclass(frozen=True, slots=True)
class Figure:
    """A cell that may be a figure: its digits, and what stands around them."""

    digits: str
    negative: bool
    currency: str
    percent: bool
    #: The notations in which the digits are a figure.
    notations: int

    @property
    def is_zero(self) -> bool:
        return not self.digits.strip("0.,")


@lru_cache(maxsize=65536)
def figure_of(cell: str) -> Figure | None:
    """The figure in a trimmed cell; None where it is none in any notation."""
    if len(cell) > MAX_CELL:
        return None
    text, negative = _unbracketed(_DASHED.sub("", cell.translate(_WIDE), count=1))
    currency, percent = "", False
    found = _CORE.search(text)
    if found is None:
        return None
    digits = found.group().rstrip(_SPACES + _QUOTES)
    before, behind = text[: found.start()], text[found.start() + len(digits) :]
    for around in (before, behind):
        for part in _parts(around):
            if part in _MINUS or part == "+":
                if negative is not None:
                    return None  # signs both before and behind, or a sign within brackets
                negative = part != "+"
            elif part == "%" and around is behind and not percent:
                percent = True
            elif part in _currencies() and not currency:
                currency = _currencies()[part]
            else:
                return None
    notations = sum(
        1 << at for at, each in enumerate(_PATTERNS) if each.fullmatch(digits) is not None
    )
    if not notations or (percent and currency) or _is_infinite(digits, notations):
        return None
    return Figure(digits, bool(negative), currency, percent, notations)


def _is_infinite(digits: str, notations: int) -> bool:
    """Whether the exponent is beyond all figures."""
    marks = "." if notations & _POINT else ","
    return "e" in digits.lower() and math.isinf(_read(digits, marks))


def _read(digits: str, mark: str) -> float:
    return float(re.sub(rf"[^0-9eE+\-{mark}]", "", digits).replace(mark, "."))


def _unbracketed(cell: str) -> tuple[str, bool | None]:
    """Accounting's minus, around the figure or around it with its currency."""
    opened = cell.find("(")
    if opened < 0 or cell.count("(") != 1 or cell.count(")") != 1:
        return cell, None
    closed = cell.find(")")
    if closed < opened:
        return cell, None
    inner = cell[opened + 1 : closed]
    if not any(char.isdigit() for char in inner):
        return cell, None
    return cell[:opened] + inner + cell[closed + 1 :], True


def _parts(around: str) -> list[str]:
    """Signs, currencies and percent before or behind the digits."""
    text = around.strip(_SPACES)
    return re.findall(rf"[{_MINUS}+%]|[^{_MINUS}+%{_SPACES}]+", text) if text else []


@cache
def _currencies() -> Mapping[str, str]:
    """Codes and signs, and what each is told as: a sign of several currencies stays a sign."""
    codes = {code: code for code in get_global("all_currencies")}
    signs: dict[str, str] = {}
    for name in ("en", "de", "pt_BR", "pl", "cs", "da", "sv", "nb", "hu", "ru", "ja", "zh", "ro"):
        for code, sign in Locale.parse(name).currency_symbols.items():
            if not any(char.isdigit() for char in sign) and sign not in codes:
                signs.setdefault(sign, sign if len(sign) == 1 else code)
    extra = {"R$": "BRL", "US$": "USD", "￥": "¥", "￡": "£", "＄": "$", "￦": "₩", "Fr.": "CHF"}
    extra |= {"SFr.": "CHF", "kr": "kr", "kr.": "kr", "zł": "PLN", "Kč": "CZK", "Ft": "HUF"}
    extra |= {"元": "¥", "円": "¥", "원": "₩", "руб.": "RUB", "руб": "RUB", "¢": "¢", "₹": "₹"}
    extra |= {sign: sign for sign in "€$£¥₩₽₹₺₴₫₪฿₿"}
    return {**signs, **codes, **extra}


class Notation:
    """What the cells of one column leave possible."""

    def __init__(self) -> None:
        self.mask = _ALL
        #: Cells that are figures in some notation, and those that are in none.
        self.figures = self.others = 0
        self.first_other: tuple[int, str] | None = None
        #: The first cell after which no notation was left, and the first that two read differently.
        self.first_conflict: tuple[int, str] | None = None
        self.first_open: tuple[int, str] | None = None
        self.currencies: dict[str, tuple[int, str]] = {}
        self.percents = self.bare = 0
        self.first_percent: tuple[int, str] | None = None

    def add(self, lines: Iterable[int], cells: Iterable[str]) -> None:
        """Take in cells that are not missing, each with its line."""
        for line, cell in zip(lines, cells, strict=True):
            if self.others > PATIENCE and self.others > 20 * self.figures:
                self.others += 1  # a column of text
                continue
            figure = figure_of(cell)
            if figure is None:
                self.others += 1
                self.first_other = self.first_other or (line, cell)
                continue
            self._add(line, cell, figure)

    def add_plain(self, lines: Sequence[int], cells: Sequence[str], present: int) -> None:
        """Take in cells of digits with a point at most, and blanks: what most files have."""
        self.figures += present
        self.bare += present
        for line, cell in zip(lines, cells, strict=True):
            if self.first_open is not None and self.mask and not self.mask & ~_POINT:
                return  # it is the point: nothing more can come of such cells
            if "." in cell:
                self._narrow(line, cell, _of_plain(cell))

    def _add(self, line: int, cell: str, figure: Figure) -> None:
        self.figures += 1
        if figure.currency:
            self.currencies.setdefault(figure.currency, (line, cell))
        if figure.percent:
            self.percents += 1
            self.first_percent = self.first_percent or (line, cell)
        elif not figure.is_zero:
            self.bare += 1
        self._narrow(line, cell, figure.notations)

    def _narrow(self, line: int, cell: str, notations: int) -> None:
        if self.first_open is None and ("." in cell or "," in cell):
            self.first_open = (line, cell)
        if self.mask and not self.mask & notations:
            self.first_conflict = (line, cell)
        self.mask &= notations

    @property
    def marks(self) -> str:
        """The decimal marks that are still possible."""
        return "".join(
            mark for mark, bits in ((".", _POINT), (",", _ALL & ~_POINT)) if self.mask & bits
        )

    @property
    def is_open(self) -> bool:
        """Whether two decimal marks are left, and give different figures."""
        return len(self.marks) == 2 and self.first_open is not None

    @property
    def decides(self) -> str | None:
        """The decimal mark that the column shows; None where it shows none, or both."""
        return self.marks if len(self.marks) == 1 else None

    def check(self, column: str, asked: str | None) -> None:
        """`BadCsv` where the cells contradict each other or the option."""
        if self.first_conflict is not None:
            line, cell = self.first_conflict
            problem = f"{shown(cell)} is written in another notation than the figures above it"
            raise BadCsv(problem, line, column)
        if len(self.currencies) > 1:
            line, cell = list(self.currencies.values())[1]
            names = " and ".join(list(self.currencies)[:2])
            raise BadCsv(f"{shown(cell)}: amounts in {names} are no one column", line, column)
        if self.percents and self.bare:
            line, cell = self.first_percent or (1, "")
            raise BadCsv(f"{shown(cell)} is in percent, other figures are not", line, column)
        if asked is not None and self.first_open is not None and asked not in self.marks:
            line, cell = self.first_open
            raise BadCsv(
                f"{shown(cell)} is no figure with the decimal mark {asked!r}", line, column
            )

    def open_at(self, column: str) -> BadCsv:
        """The refusal of a column that leaves its decimal mark open."""
        line, cell = self.first_open or (1, "")
        both = " or ".join(f"{value_of(cell, mark):g}" for mark in ".,")
        problem = f"{shown(cell)} may be {both}; the option decimal decides"
        return BadCsv(problem, line, column, option="decimal")


@lru_cache(maxsize=65536)
def _of_plain(cell: str) -> int:
    figure = figure_of(cell)
    return figure.notations if figure is not None else 0


def value_of(cell: str, mark: str) -> float:
    """The figure, never a negative zero, with this decimal mark; `ValueError` where it is none."""
    figure = figure_of(cell)
    if figure is None:
        raise ValueError(f"{cell!r} is no figure")
    value = _read(figure.digits, mark)
    return (-value if figure.negative else value) + 0.0
