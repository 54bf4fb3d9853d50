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


def print_jobs(jobs: Iterable[Job]) -> None:
    """Jobs, one a row."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("job", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("%", justify="right", no_wrap=True)
    table.add_column("task", overflow="ellipsis", no_wrap=True)
    table.add_column("created", no_wrap=True)
    for job in jobs:
        status = job["status"]
        percent = f"{job['progress']['percent']:.0f}"
        created = job["created_at"][:19].replace("T", " ")
        colour = COLOURS.get(status, "")
        table.add_row(job["id"], f"[{colour}]{status}[/]", percent, job["task"], created)
    Console(highlight=False).print(table)
