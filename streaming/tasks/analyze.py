"""The task `analyze`: what a large CSV file holds, read in a stream."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from pydantic import ConfigDict, Field

from streaming.errors import TaskError
from streaming.events.vocabulary import JsonObject
from streaming.running.context import JobContext
from streaming.running.task import task
from streaming.running.uploads import FileId
from streaming.tasks.analysis.histogram import draw_histogram
from streaming.tasks.analysis.page import render, strongest
from streaming.tasks.analysis.profile import distributions, profile
from streaming.tasks.tables.options import TableOptions, options_last
from streaming.tasks.tables.refusal import BadCsv

P = ParamSpec("P")
T = TypeVar("T")

#: Bytes of a file, charts, and pairs of columns in the output.
MAX_FILE_BYTES, MAX_CHARTS, MAX_PAIRS = 200 << 20, 50, 20


class AnalyzeInput(TableOptions):
    """The file, and how it is to be read."""

    model_config = ConfigDict(extra="forbid", title="Analyze data", json_schema_extra=options_last)

    file: FileId = Field(title="File", description="An uploaded CSV file, up to 200 MB")
    title: str = Field(
        "Data", title="Title", description="Heads the report", min_length=1, max_length=200
    )


def analyze_without_charts(ctx: JobContext, input: AnalyzeInput) -> JsonObject:
    """No distributions and no charts."""
    table = ctx.step("profile", read, ctx, input.file, profile, input.alone())
    ctx.step("report", write, ctx, input.title, table, {})
    return summary(table, charts=[])


@task(
    "analyze",
    "Analyze data",
    steps=[
        ("profile", "Read types and figures"),
        ("distributions", "Count the distributions"),
        ("charts", "Draw the charts"),
        ("report", "Write the report"),
    ],
    input=AnalyzeInput,
    basic=analyze_without_charts,
)
def analyze(ctx: JobContext, input: AnalyzeInput) -> JsonObject:
    """Types, missing values, distributions and correlations of a CSV file, with charts."""
    options = input.alone()
    table = ctx.step("profile", read, ctx, input.file, profile, options)
    spread = ctx.step("distributions", read, ctx, input.file, distributions, table, options)
    charts = ctx.step("charts", draw, ctx, spread)
    ctx.step("report", write, ctx, input.title, table, spread)
    return summary(table, charts)


def summary(table: JsonObject, charts: list[str]) -> JsonObject:
    known = ("name", "type", "missing")
    return {
        "rows": table["rows"],
        "columns": [{name: column[name] for name in known} for column in table["columns"]],
        "correlations": strongest(table, MAX_PAIRS),
        "charts": charts,
        "read_as": table["read_as"],
        **({"groups": table["groups"]} if "groups" in table else {}),
    }


def read(
    ctx: JobContext,
    file: str,
    function: Callable[Concatenate[Path, P], Generator[int, None, T]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """One pass over the file in a child process, which would slow down all streams here."""
    size = int(ctx.file_info(file)["size"])
    if size > MAX_FILE_BYTES:
        raise TaskError(f"the file is larger than {MAX_FILE_BYTES} bytes", code="file_too_large")
    with ctx.file_path(file) as path:
        passing = ctx.compute(function, path, *args, **kwargs)
        while True:
            try:
                ctx.progress(next(passing), size)
            except StopIteration as end:
                found: T = end.value
                return found
            except BadCsv as error:
                raise TaskError(str(error), code="bad_csv", **error.extra) from error


def draw(ctx: JobContext, spread: JsonObject) -> list[str]:
    """A chart for each column of figures; the names of the artifacts."""
    charts = []
    for number, (name, distribution) in enumerate(list(spread.items())[:MAX_CHARTS], start=1):
        artifact = (
            f"{number:02d}-{re.sub(r'[^A-Za-z0-9_-]+', '-', name)[:60].strip('-') or 'column'}.svg"
        )
        ctx.artifact(artifact, draw_histogram(name, distribution), media_type="image/svg+xml")
        ctx.progress(number, min(len(spread), MAX_CHARTS))
        charts.append(artifact)
    if len(spread) > MAX_CHARTS:
        ctx.log(f"charts were drawn of the first {MAX_CHARTS} of {len(spread)} columns")
    return charts


def write(ctx: JobContext, title: str, table: JsonObject, spread: JsonObject) -> None:
    """Everything for programs, and for people."""
    whole = {"title": title, **table, "distributions": spread}
    ctx.artifact(
        "report.json", json.dumps(whole, ensure_ascii=False), media_type="application/json"
    )
    charts = [draw_histogram(name, each) for name, each in list(spread.items())[:MAX_CHARTS]]
    ctx.artifact("report.html", render(title, table, charts), media_type="text/html")
