"""A histogram as SVG: one file, nothing loaded, the same bytes for the same counts."""

from __future__ import annotations

from streaming.events.vocabulary import JsonMapping
from streaming.tasks.analysis import axis
from streaming.tasks.analysis.amounts import are_years, figure
from streaming.tasks.analysis.chart import xml

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 480, 220, 56, 36, 30


def draw_histogram(name: str, distribution: JsonMapping) -> str:
    """The counts of a column's bins, between its smallest and its largest figure."""
    bins, low, high = distribution["bins"], distribution["low"], distribution["high"]
    plot_width, plot_height = WIDTH - LEFT - 12, HEIGHT - TOP - BOTTOM
    marks = axis.ticks(0, max(bins))
    parts = []
    for tick, label in zip(marks, axis.labels(marks), strict=True):
        y = TOP + plot_height * (1 - tick / marks[-1])
        parts.append(
            f'<path d="M{LEFT} {y:.1f}H{WIDTH - 12}" stroke="#e4e4e4"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'
        )
    step = plot_width / len(bins)
    for at, count in enumerate(bins):
        height = plot_height * count / marks[-1]
        parts.append(
            f'<rect x="{LEFT + at * step + 0.5:.1f}" y="{TOP + plot_height - height:.1f}" '
            f'width="{step - 1:.1f}" height="{height:.1f}" fill="#0072b2"/>'
        )
    years = are_years(name, low, high)
    for x, anchor, value in ((LEFT, "start", low), (WIDTH - 12, "end", high)):
        label = figure(value, year=years)
        parts.append(f'<text x="{x}" y="{HEIGHT - 10}" text-anchor="{anchor}">{label}</text>')
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img" font-family="system-ui, sans-serif" font-size="11" '
        f'fill="#333333">\n<title>Distribution of {xml(name)}</title>\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>\n'
        f'<text x="{LEFT}" y="22" font-size="14" font-weight="bold">{xml(name[:50])}</text>\n'
        f"{body}\n</svg>\n"
    )
