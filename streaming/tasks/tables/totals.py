"""Rows that sum up other rows: by what they are called, in many languages."""

from __future__ import annotations

import re
from functools import lru_cache


def _words(*lines: str) -> frozenset[str]:
    return frozenset(word for line in lines for word in line.split())


_SUMS = _words(
    "total totals sum subtotal sub-total summe gesamt insgesamt gesamtsumme zwischensumme endsumme",
    "gesamtergebnis somme totaux suma totale somma totaal soma razem łącznie ogółem celkem",
    "součet spolu összesen totalt summa sammenlagt yhteensä итого всего сумма итог разом всього",
    "сума общо σύνολο άθροισμα toplam ukupno skupaj kopā viso kokku jumlah",
    "合计 总计 小计 总和 合計 總計 小計 計 总额 累计 합계 총계 소계",
)
#: Such a word may as well be a value of a column: quality is good, average or poor.
_MEANS = _words(
    "average mean avg durchschnitt mittelwert mittel moyenne promedio media medio gemiddelde média",
    "średnia průměr átlag genomsnitt gjennomsnitt keskiarvo среднее средно ortalama vidēji",
    "vidutiniškai keskmine rata-rata overall ensemble ø 平均 平均值 평균",
)
_PHRASES = frozenset(
    ["grand total", "sub total", "total général", "total general", "total geral", "tổng cộng"]
    + ["résultat global", "total generale", "общий итог", "sum total", "total sum", "overall total"]
)
#: What sums up beside dates, and elsewhere may be anything.
_AMONG_DATES = (
    _PHRASES
    | _words(
        "ytd ttm ltm fy all year jahr año année anno gesamtjahr overall cumulative cumulated",
        "min max minimum maximum median std stdev count difference change delta σ gt",
    )
    | frozenset(["full year", "whole year", "year to date", "all year", "all periods", "std dev"])
)
#: A year, a quarter or a half of one.
_OF = re.compile(r"\b(?:fy\s?)?(?:19|20)[0-9]{2}\b|\bq[1-4]\b|\bh[12]\b")


@lru_cache(maxsize=65536)
def is_total_among_dates(cell: str) -> bool:
    """Whether a cell is no period where the others are: words for totals with others around them
    (`Total sales`, `Total (EUR)`, `Total_2024`), spans and other measures (`YTD`, `Median`).
    """
    if len(cell) > 60:
        return False
    text = " ".join(re.findall(r"[^\W_]+", cell.casefold()))
    words = _OF.sub("", text).split()
    known = _SUMS | _MEANS
    ends = bool(words) and (words[0] in known or words[-1] in known)
    return ends or " ".join(words) in _AMONG_DATES or is_total(cell, means=True)


@lru_cache(maxsize=65536)
def is_total(cell: str, *, means: bool) -> bool:
    """Whether a cell is a word for totals, perhaps with what it is of: `Total 2024`.

    With `means` words for averages count as well.
    """
    if len(cell) > 40:
        return False
    known = _SUMS | _PHRASES | (_MEANS if means else frozenset())
    text = cell.casefold().strip(" :.*=-–—()[]#")
    bare = _OF.sub("", text).strip(" :,-–/()")
    return text in known or (bare != text and bare in known)
