"""The findings in words, each with its figure."""

from __future__ import annotations

from collections.abc import Sequence

from streaming.events.vocabulary import JsonMapping
from streaming.tasks.analysis.amounts import amount, are_years, figure
from streaming.tasks.analysis.anomalies import MIN_FIGURES, RULE, THRESHOLD
from streaming.tasks.tables.table import Table

#: Anomalies that are described; the others are counted.
MAX_DESCRIBED = 12


def narrate(
    title: str,
    table: Table,
    trends: Sequence[JsonMapping],
    anomalies: Sequence[JsonMapping],
    *,
    in_time: bool = True,
) -> str:
    """A summary of a few paragraphs that quotes the figures of trends and anomalies.

    Without `in_time` the periods are in the order of the file, which it says.
    """
    count = len(table.periods)
    opening = (
        f"{title}: {count} periods from {table.periods[0]} to {table.periods[-1]}, "
        f"{_counted(len(trends), 'column')} of figures."
    )
    if not in_time:
        opening += (
            " The periods do not tell their order: the rows are taken as they stand in the file, "
            "and rose, fell and growth are from one row to the next."
        )
    return "\n\n".join([opening, *map(_of_trend, trends), _of_anomalies(anomalies)]) + "\n"


def percent(value: float) -> str:
    """A change in percent, signed, with all the decimals that it was computed to."""
    return f"{value:+,.2f}%"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _of_trend(trend: JsonMapping) -> str:
    first, last = trend["first"]["value"], trend["last"]["value"]
    years = are_years(trend["column"], *sorted((first, last)))
    told = [figure(value, year=True) if years else amount(value) for value in (first, last)]
    if first == last:
        course = f"ended where it began, at {told[0]}"
    else:
        course = f"{'rose' if last > first else 'fell'} from {told[0]} to {told[1]}"
        if trend["total_growth_percent"] is not None:
            course += f", {percent(trend['total_growth_percent'])} in all"
        if trend["average_growth_percent"] is not None:
            course += f" or {percent(trend['average_growth_percent'])} per period on average"
    best, worst, slope = trend["best"], trend["worst"], trend["slope_per_period"]
    extremes = best and (
        f" Its best period was {best['period']} ({percent(best['growth_percent'])}), "
        f"its worst {worst['period']} ({percent(worst['growth_percent'])})."
    )
    line = f"Its fitted line {'gains' if slope >= 0 else 'loses'} {amount(abs(slope))} per period."
    return f"{trend['column']} {course}.{extremes or ''} {line}"


def _of_anomalies(anomalies: Sequence[JsonMapping]) -> str:
    rule = f"{RULE} beyond ±{THRESHOLD}"
    if not anomalies:
        return (
            f"No figure is far from its trend ({rule}, columns of {MIN_FIGURES} figures or more)."
        )
    strongest = sorted(anomalies, key=lambda each: -abs(each["score"]))[:MAX_DESCRIBED]
    lines = [f"{_counted(len(anomalies), 'figure')} far from the trend of the column ({rule}):"]
    lines += [
        f"- {each['column']} in {each['period']}: {_told(each, 'value')}, where "
        f"{_told(each, 'expected')} was to be expected (score {each['score']:.1f})"
        for each in strongest
    ]
    if len(anomalies) > len(strongest):
        lines.append(f"- and {len(anomalies) - len(strongest)} more")
    return "\n".join(lines)


def _told(anomaly: JsonMapping, key: str) -> str:
    value: float = anomaly[key]
    is_year = are_years(anomaly["column"], value, value)
    return figure(value, year=True) if is_year else amount(value)
