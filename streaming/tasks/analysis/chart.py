"""A line chart of a table as SVG: one file, nothing loaded, the same bytes for the same figures."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from streaming.events.vocabulary import JsonMapping
from streaming.tasks.analysis import axis
from streaming.tasks.analysis.amounts import amount
from streaming.tasks.tables.table import Table

#: Pixels: the whole width, the plot's left and right edge, and what is above the first panel.
WIDTH, LEFT, RIGHT, TOP = 960, 96, 756, 64
#: Pixels: a panel's plot, the space between two, and a line of the legend.
PANEL, BETWEEN, LEGEND_LINE = 180, 34, 20
#: Pixels below the last panel, for the periods and their name.
BOTTOM = 52
#: Columns share a panel while the peak of the largest is at most so many times the smallest's.
SHARED_SCALE = 8.0
#: Anomalies of a panel that are labelled with their period; more would cover each other.
MAX_LABELLED = 6

#: Okabe and Ito's colours without red, which marks anomalies: told apart by colour-blind people.
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#7b4fa3", "#56b4e9", "#8c6d31", "#444444")
_DASHES = (
    "",
    *(
        f' stroke-dasharray="{dashes}"'
        for dashes in ("7 3", "2 3", "12 3", "7 3 2 3", "1 5", "12 3 2 3", "4 6")
    ),
)
_RED, _GREY, _LIGHT = "#d00000", "#555555", "#e4e4e4"


def draw(title: str, table: Table, anomalies: Sequence[JsonMapping]) -> str:
    """The chart: columns of like size share a panel, all panels share the axis of periods."""
    groups = _groups(table)
    styles = {name: _style(number) for number, name in enumerate(table.columns)}
    parts: list[str] = []
    top = TOP
    for names in groups:
        height = max(PANEL, LEGEND_LINE * (len(names) + 1))
        panel = _Panel(table, names, styles, top, height)
        parts += panel.draw([each for each in anomalies if each["column"] in names])
        top += height + BETWEEN
    bottom = top - BETWEEN
    parts += _periods(table, bottom)
    return _document(title, table, parts, bottom + BOTTOM, len(anomalies))


def _groups(table: Table) -> list[list[str]]:
    """The columns by panel, both in the table's order."""
    peaks = {
        name: max((abs(value) for value in values if value is not None), default=0.0)
        for name, values in table.columns.items()
    }
    groups: list[list[str]] = []
    ceiling = 0.0
    for name in sorted(peaks, key=lambda name: -peaks[name]):
        if not groups or peaks[name] * SHARED_SCALE < ceiling:
            groups.append([])
            ceiling = peaks[name]
        groups[-1].append(name)
    order = list(peaks)
    for group in groups:
        group.sort(key=order.index)
    return sorted(groups, key=lambda group: order.index(group[0]))


def _style(number: int) -> str:
    """Colour and dashes: as many as a table has columns are all different."""
    dashes = _DASHES[number // len(_COLOURS) % len(_DASHES)]
    return f'stroke="{_COLOURS[number % len(_COLOURS)]}"{dashes}'


@dataclass(frozen=True, slots=True)
class _Panel:
    """A plot of some columns on one scale, with its axis and legend."""

    table: Table
    names: Sequence[str]
    styles: Mapping[str, str]
    top: int
    height: int

    def draw(self, anomalies: Sequence[JsonMapping]) -> list[str]:
        ticks = axis.ticks(*self._extremes())
        parts = self._axis(ticks)
        for name in self.names:
            path = self._path(self.table.columns[name], ticks)
            parts.append(f'<path d="{path}" {self.styles[name]} {_LINE}/>')
        parts += self._marks(anomalies, ticks)
        return parts + self._legend(with_anomalies=bool(anomalies))

    def _extremes(self) -> tuple[float, float]:
        """From the smallest figure to the largest, with 0 where that is not far."""
        columns = [self.table.columns[name] for name in self.names]
        figures = [value for values in columns for value in values if value is not None]
        low, high = min(figures), max(figures)
        if 0 < low < high / 2:
            low = 0.0
        if low / 2 < high < 0:
            high = 0.0
        return low, high

    def _y(self, value: float, ticks: Sequence[float]) -> float:
        share = (value - ticks[0]) / (ticks[-1] - ticks[0])
        return self.top + self.height * (1 - share)

    def _axis(self, ticks: Sequence[float]) -> list[str]:
        parts = []
        for tick, label in zip(ticks, axis.labels(ticks), strict=True):
            y = self._y(tick, ticks)
            colour = _GREY if tick == ticks[0] else _LIGHT
            parts.append(
                f'<path d="M{LEFT} {y:.1f}H{RIGHT}" stroke="{colour}"/>'
                f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'
            )
        middle = self.top + self.height / 2
        names = _cut(", ".join(self.names), self.height // 7)
        parts.append(
            f'<path d="M{LEFT} {self.top}v{self.height}" stroke="{_GREY}"/>'
            f'<text x="22" y="{middle:.1f}" transform="rotate(-90 22 {middle:.1f})" '
            f'text-anchor="middle">{xml(names)}</text>'
        )
        return parts

    def _path(self, values: Sequence[float | None], ticks: Sequence[float]) -> str:
        """The line; a missing figure breaks it, a figure between two missing ones is a dot."""
        parts, drawing = [], False
        for at, value in enumerate(values):
            if value is not None:
                x, y = _x(at, len(values)), self._y(value, ticks)
                parts.append(f"{'L' if drawing else 'M'}{x:.1f} {y:.1f}{'' if drawing else 'h0'}")
            drawing = value is not None
        return "".join(parts)

    def _marks(self, anomalies: Sequence[JsonMapping], ticks: Sequence[float]) -> list[str]:
        strongest = sorted(anomalies, key=lambda each: -abs(each["score"]))[:MAX_LABELLED]
        parts = []
        for each in anomalies:
            x, y = _x(each["index"], len(self.table.periods)), self._y(each["value"], ticks)
            tip = f"{each['column']}, {each['period']}: {amount(each['value'])}"
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="none" stroke="{_RED}" '
                f'stroke-width="2"><title>{xml(tip)}</title></circle>'
            )
            if each in strongest:
                above = each["score"] > 0 or y > self.top + self.height - 24
                parts.append(_label(x, y, _cut(each["period"], 12), above=above))
        return parts

    def _legend(self, *, with_anomalies: bool) -> list[str]:
        x, y = RIGHT + 24, self.top + 8
        parts = []
        for name in self.names:
            parts.append(
                f'<path d="M{x} {y}h22" {self.styles[name]} {_LINE}/>'
                f'<text x="{x + 30}" y="{y + 4}">{xml(_cut(name, 20))}</text>'
            )
            y += LEGEND_LINE
        if with_anomalies:
            parts.append(
                f'<circle cx="{x + 11}" cy="{y}" r="6" fill="none" stroke="{_RED}" '
                f'stroke-width="2"/><text x="{x + 30}" y="{y + 4}">anomaly</text>'
            )
        return parts


_LINE = 'fill="none" stroke-width="2" stroke-linejoin="round" stroke-linecap="round"'


def _label(x: float, y: float, text: str, *, above: bool) -> str:
    """A label beside a mark, away from the line and from the nearer edge."""
    anchor, x = ("end", x - 8) if x > (LEFT + RIGHT) / 2 else ("start", x + 8)
    y += -8 if above else 18
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{_RED}" '
        f'stroke="#ffffff" stroke-width="3" paint-order="stroke">{xml(text)}</text>'
    )


def _x(at: int, count: int) -> float:
    return LEFT + (RIGHT - LEFT) * at / (count - 1)


def _periods(table: Table, bottom: int) -> list[str]:
    """The axis of periods: as many of them as there is room for, and their name."""
    labels = [_cut(period, 12) for period in table.periods]
    room = max(_width(label) for label in labels) + 16
    every = math.ceil((len(labels) - 1) * room / (RIGHT - LEFT))
    parts = []
    for at in range(0, len(labels), max(1, every)):
        x = _x(at, len(labels))
        parts.append(
            f'<path d="M{x:.1f} {bottom}v5" stroke="{_GREY}"/>'
            f'<text x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">{xml(labels[at])}</text>'
        )
    middle = (LEFT + RIGHT) // 2
    parts.append(
        f'<text x="{middle}" y="{bottom + 42}" text-anchor="middle">{xml(table.period)}</text>'
    )
    return parts


def _document(title: str, table: Table, parts: Iterable[str], height: int, anomalies: int) -> str:
    described = (
        f"Lines of {', '.join(table.columns)} from {table.periods[0]} to {table.periods[-1]}; "
        f"figures marked as anomalies: {anomalies}"
    )
    body = "\n".join(parts)
    heading = xml(_cut(title, 80))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" font-family="system-ui, sans-serif" font-size="12" '
        f'fill="#333333">\n<title>{xml(title)}</title>\n<desc>{xml(described)}</desc>\n'
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>\n'
        f'<text x="{LEFT}" y="34" font-size="18" font-weight="bold">{heading}</text>\n'
        f"{body}\n</svg>\n"
    )


#: What XML 1.0 cannot carry, escaped or not (section 2.2).
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def xml(text: str) -> str:
    return escape(_NOT_XML.sub("\ufffd", text))


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _width(text: str) -> float:
    """Pixels of a text at the chart's size, roughly; signs beyond Latin are wide."""
    return sum(7.0 if ord(char) < 0x2E80 else 13.0 for char in text)
