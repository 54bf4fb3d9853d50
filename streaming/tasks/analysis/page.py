"""The report of an analysis as an HTML page that loads nothing."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from streaming.events.vocabulary import Json, JsonMapping
from streaming.tasks.analysis.amounts import are_years, figure

#: Pairs of columns that the page lists, the strongest first.
MAX_PAIRS = 30

_STYLE = (
    "body{font:14px system-ui,sans-serif;margin:2em auto;max-width:70em;color:#222}"
    "table{border-collapse:collapse;margin:1em 0}td,th{border:1px solid #ddd;padding:.3em .6em;"
    "text-align:left}td.n{text-align:right}figure{display:inline-block;margin:.5em}"
)


def render(title: str, table: JsonMapping, charts: Sequence[str]) -> str:
    """The columns, the strongest correlations, and the charts (SVG)."""
    name = escape(title)
    head = f"<h1>{name}</h1><p>{table['rows']:,} rows, {len(table['columns'])} columns</p>"
    figures = "".join(f"<figure>{chart}</figure>" for chart in charts)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title>'
        f"<style>{_STYLE}</style>{head}<h2>Columns</h2>{_columns(table)}"
        f"<h2>Correlations</h2>{_pairs(table)}<h2>Distributions</h2>{figures}</html>\n"
    )


def strongest(table: JsonMapping, limit: int) -> list[JsonMapping]:
    """Pairs of columns whose figures go together or against each other most."""
    known = [pair for pair in table["correlations"] if pair["r"] is not None]
    return sorted(known, key=lambda pair: -abs(pair["r"]))[:limit]


def _columns(table: JsonMapping) -> str:
    heads = ("name", "type", "present", "missing", "distinct", "min", "max", "mean", "deviation")
    rows = []
    for column in table["columns"]:
        low, high = column.get("min"), column.get("max")
        years = low is not None and high is not None and are_years(column["name"], low, high)
        rows.append([_shown(column.get(head), years=years) for head in heads])
    return _table(heads, rows)


def _shown(value: Json, *, years: bool) -> Json:
    """Figures of a column of years without thousands."""
    if isinstance(value, float) and years:
        return _Text(figure(value, year=True))
    return value


class _Text(str):
    """A figure as it is shown."""


def _pairs(table: JsonMapping) -> str:
    rows = [[*pair["columns"], pair["r"]] for pair in strongest(table, MAX_PAIRS)]
    return _table(("column", "and column", "r"), rows) if rows else "<p>none</p>"


def _table(heads: Sequence[str], rows: Sequence[Sequence[Json]]) -> str:
    head = "".join(f"<th>{head}</th>" for head in heads)
    body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _cell(value: Json) -> str:
    if isinstance(value, (int, float)):
        value = _Text(figure(value))
    if isinstance(value, _Text):
        return f'<td class="n">{value}</td>'
    return f"<td>{escape(str(value)) if value is not None else ''}</td>"
