"""Tables for terminals."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from streaming.client import Job

#: The colour of each status.
COLOURS = {
    "queued": "dim",
    "running": "cyan",
    "waiting_for_input": "yellow",
    "cancelling": "yellow",
    "completed": "green",
    "failed": "red",
    "cancelled": "magenta",
}
#: Columns from which on there is room for the times.
WIDE = 80


def print_jobs(jobs: Iterable[Job]) -> None:
    """Jobs, one a row."""
    console, found = Console(highlight=False), list(jobs)
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("job", no_wrap=True, min_width=_widest(job["id"] for job in found))
    table.add_column("status", no_wrap=True, min_width=_widest(job["status"] for job in found))
    table.add_column("%", justify="right", no_wrap=True, min_width=len("100"))
    table.add_column("task", overflow="ellipsis", no_wrap=True)
    if console.width >= WIDE:
        table.add_column("created", no_wrap=True)
    for job in found:
        status = job["status"]
        percent = f"{job['progress']['percent']:.0f}"
        created = [job["created_at"][:19].replace("T", " ")] if console.width >= WIDE else []
        colour = COLOURS.get(status, "")
        table.add_row(job["id"], f"[{colour}]{status}[/]", percent, job["task"], *created)
    console.print(table)


def _widest(texts: Iterable[str]) -> int:
    return max(map(len, texts), default=0)
