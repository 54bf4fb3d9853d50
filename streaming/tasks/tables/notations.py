"""The notations of dates and periods that are known, as patterns of whole labels."""

from __future__ import annotations

import re

_Y4, _Y42, _Y2 = r"(?P<y>\d{4})", r"(?P<y>\d{4}|\d{2})", r"(?P<y>\d{2})"
#: A year of two digits may have an apostrophe.
_YEAR = r"(?P<y>\d{4}|['’]?\d{2})"
_M, _D, _DAY = r"(?P<m>\d{1,2})", r"(?P<d>\d{1,2})", r"(?P<d>\d{1,2})(?:st|nd|rd|th)?"
_CLOCK = r"(?P<h>\d{1,2}):(?P<min>\d{2})(?::(?P<s>\d{2}(?:[.,]\d{1,9})?))?"
_ZONE = r"(?P<zone>Z|UTC|GMT|[+\-−]\d{2}:?(?:\d{2})?)"
_TIME = rf"(?:(?:[T ]|, )\s*{_CLOCK}(?:\s?(?P<half>[AaPp]\.?[Mm]\.?))?(?:\s?{_ZONE})?)?"
#: What stands between two numbers, the same both times.
_SEP, _SAME, _GAP = r"(?P<mark>\s?[-/.]\s?|\s)", "(?P=mark)", r"\s?[-/. ]\s?"
#: The name of a month, and of a day of the week before it.
_WORD, _WEEKDAY = r"(?P<word>[^\W\d_]{2,}\.?)", r"(?:[^\W\d_]{2,}\.?,?\s)?"
_OF, _WEEK = r"(?:del?\s)?", r"(?:W|w|KW|Week|week|Wk|wk)"
_FULL = r"(?P<y>(?:1[5-9]|2[0-2])\d{2})"
_QUARTER = (
    r"(?:[QqTt](?P<q>[1-4])|(?P<q2>[1-4])\s?[QqTt]|"
    r"(?P<q3>[1-4])\.\s?(?:Quartal|[Kk]vartal|Kwartal|квартал))"
)


def _ascii(pattern: str) -> str:
    """Digits are 0 to 9, as letters are those of all languages."""
    return pattern.replace(r"[^\W\d_]", r"[^\W0-9_]").replace(r"\d", "[0-9]")


_PATTERNS = {
    "year": rf"(?:FY\s?)?(?!0){_Y4}|FY\s?(?P<y2>\d{{2}})",
    "fiscal year": rf"(?:FY\s?)?{_Y4}\s?[/–-]\s?(?P<next>\d{{4}}|\d{{2}})",
    "year-month": rf"{_Y4}{_GAP}{_M}",
    "yyyymm": rf"{_FULL}(?P<m>0[1-9]|1[0-2])",
    "month-year": rf"{_M}{_GAP}{_Y4}",
    "year-month-day": rf"{_Y4}{_SEP}{_M}{_SAME}{_D}\.?{_TIME}",
    "yyyymmdd": (
        rf"{_FULL}(?P<m>[01]\d)(?P<d>[0-3]\d)"
        r"(?:T(?P<h>\d{2})(?P<min>\d{2})(?P<s>\d{2})?(?P<zone>Z)?)?"
    ),
    "day-month-year": rf"{_D}{_SEP}{_M}{_SAME}{_Y42}{_TIME}",
    # Nowhere are months, days and years in this order with points between them.
    "month-day-year": rf"{_M}(?P<mark>\s?[-/]\s?|\s){_D}{_SAME}{_Y42}{_TIME}",
    "yy-month-day": rf"{_Y2}{_SEP}{_M}{_SAME}{_D}{_TIME}",
    "year-quarter": rf"(?:FY\s?)?{_YEAR}\s?[-/.: ]?\s?[QqTt](?P<q>[1-4])",
    "quarter-year": rf"{_QUARTER}\s?[-/.: ]?\s?{_YEAR}",
    "year-half": rf"(?:FY\s?)?{_YEAR}\s?[-/: ]?\s?[HhSs](?P<half_year>[12])",
    "half-year": rf"(?:[HhSs](?P<half_year>[12])|(?P<half2>[12])\s?[HhSs])\s?[-/: ]?\s?{_YEAR}",
    "year-week": rf"{_Y4}\s?-?\s?{_WEEK}\s?-?(?P<w>\d{{1,2}})(?:-?(?P<wd>[1-7]))?",
    "week-year": rf"{_WEEK}\s?\.?(?P<w>\d{{1,2}})\s?[-/, ]\s?{_YEAR}",
    "month name-year": rf"{_WORD}(?:\s?[-/,.’' ]\s?{_OF})?{_YEAR}(?:\s?г\.)?",
    "month name-day": rf"{_WORD}{_GAP}{_DAY}",
    "year-month name": rf"{_YEAR}(?:\s?[-/,. ]\s?)?{_WORD}",
    "day-month name": rf"{_D}\.?{_GAP}{_WORD}",
    "day-month name-year": (
        rf"{_WEEKDAY}(?P<d>\d{{1,2}})(?:st|nd|rd|th|er|\.|º)?\s?[-/. ]?\s?{_OF}{_WORD}"
        rf"\s?[-/,. ]?\s?{_OF}{_YEAR}(?:\s?г\.)?{_TIME}"
    ),
    "month name-day-year": rf"{_WEEKDAY}{_WORD}{_GAP}{_DAY}(?:,\s?|\s?[-/ ]\s?){_YEAR}{_TIME}",
    "year-month name-day": rf"{_Y4}{_GAP}{_WORD}{_GAP}{_D}{_TIME}",
    "年月日": (
        rf"{_Y4}\s?[年년]\s?(?:第?(?P<q>[1-4])\s?(?:季度|四半期|분기)|"
        rf"{_M}\s?[月월](?:\s?{_D}\s?[日일])?)?"
    ),
    "month name": _WORD,
    "quarter": r"[QqTt](?P<q>[1-4])|(?P<q2>[1-4])[QqTt]",
    "time": rf"{_CLOCK}(?:\s?(?P<half>[AaPp]\.?[Mm]\.?))?",
    "week": rf"{_WEEK}\s?(?P<w>\d{{1,2}})",
}
#: By name, for `fullmatch`.
PATTERNS = {name: re.compile(_ascii(pattern)) for name, pattern in _PATTERNS.items()}
#: Those that say a place in some year.
WITHOUT_YEAR = ("month name", "quarter", "week", "month name-day", "day-month name", "time")
#: Notations that the same labels may be in, each with the values of `date_order` that mean it.
NUMERIC = {"day-month-year": "dmy", "month-day-year": "mdy", "yy-month-day": "ymd"}
NAMED: tuple[dict[str, str], ...] = (
    {"month name-year": "dmy", "month name-day": "mdy ymd"},
    {"year-month name": "ymd", "day-month name": "dmy"},
)
