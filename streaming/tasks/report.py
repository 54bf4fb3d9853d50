"""The task `report`: a financial report on a CSV file, each figure computed from the data."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import asdict
from typing import Self

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from streaming.errors import TaskError
from streaming.events.vocabulary import JsonObject
from streaming.running.context import JobContext
from streaming.running.task import task
from streaming.running.uploads import FileId
from streaming.tasks.analysis.anomalies import find_anomalies
from streaming.tasks.analysis.chart import draw
from streaming.tasks.analysis.narrative import narrate
from streaming.tasks.analysis.trends import find_trends
from streaming.tasks.tables.options import TableOptions, options_last
from streaming.tasks.tables.order import NO_ORDER
from streaming.tasks.tables.refusal import BadCsv
from streaming.tasks.tables.series import Reading, read_series
from streaming.tasks.tables.table import Table

#: Bytes of an uploaded CSV file, and of one that is read in a child process.
MAX_FILE_BYTES, LARGE_BYTES = 32 << 20, 1 << 20

#: What a real model is asked for; the simulated one gives the findings as they are.
PROMPT = """\
Write a summary of this financial report for its readers, a paragraph to a column.
Quote every figure as it stands, and add none.

"""


class ReportInput(TableOptions):
    """The figures, as text or as an uploaded file, and how they are to be read."""

    model_config = ConfigDict(
        extra="forbid", title="Financial report", json_schema_extra=options_last
    )

    csv: str | None = Field(
        None,
        title="CSV",
        description="A header, then a row for each period: the period first, figures after it",
        json_schema_extra={"contentMediaType": "text/csv"},
    )
    file: FileId | None = Field(
        None, title="File", description="An uploaded CSV file, in place of the text"
    )
    title: str = Field(
        "Financial report",
        title="Title",
        description="Heads the chart and the summary",
        min_length=1,
        max_length=200,
    )
    tokens_per_s: float = Field(
        20,
        title="Tokens per second",
        description="Speed of the simulated model's summary; 0 is as fast as possible",
        ge=0,
        le=10_000,
    )

    @field_validator("csv")
    @classmethod
    def _readable(cls, text: str | None, info: ValidationInfo) -> str | None:
        options = {name: info.data[name] for name in TableOptions.model_fields if name in info.data}
        if text is not None and len(options) == len(TableOptions.model_fields):
            read_series(text, TableOptions.model_construct(**options))
        return text

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.csv is None) == (self.file is None):
            raise ValueError("exactly one of csv and file is needed")
        return self


@task(
    "report",
    "Financial report",
    steps=[
        ("read", "Read the figures"),
        ("trends", "Find the trends"),
        ("anomalies", "Look for anomalies"),
        ("chart", "Draw the chart"),
        ("summary", "Write the summary"),
    ],
    input=ReportInput,
)
def report(ctx: JobContext, input: ReportInput) -> JsonObject:
    """Report on the figures of a CSV file: trends, anomalies, a chart and a summary."""
    read_as, table = taken(ctx.step("read", read, ctx, input))
    trends = ctx.step("trends", find_trends, table)
    anomalies = ctx.step("anomalies", find_anomalies, table)
    ctx.step("chart", chart, ctx, input.title, table, anomalies)
    in_time = read_as is None or read_as["period"]["notation"] != NO_ORDER
    findings = narrate(input.title, table, trends, anomalies, in_time=in_time)
    summary = ctx.step("summary", write, ctx, findings, input.tokens_per_s)
    return {"trends": trends, "anomalies": anomalies, "summary": summary, "read_as": read_as}


def read(ctx: JobContext, input: ReportInput) -> JsonObject:
    """The table and how it was read, as JSON; a file that is none fails the job with `bad_csv`."""
    ctx.llm.check()  # its work at the end must not be what fails first
    try:
        reading = _of_file(ctx, input) if input.csv is None else read_series(input.csv, input)
    except BadCsv as error:
        raise TaskError(str(error), code="bad_csv", **error.extra) from error
    return {**asdict(reading.table), "read_as": reading.read_as}


def taken(step: JsonObject) -> tuple[JsonObject | None, Table]:
    """What the step `read` has kept: None for how it was read of an attempt of an older version."""
    read_as = step.pop("read_as", None)
    return read_as, Table(**step)


def chart(ctx: JobContext, title: str, table: Table, anomalies: list[JsonObject]) -> None:
    """Store `chart.svg`, and `series.json` with what it shows."""
    ctx.artifact("chart.svg", draw(title, table, anomalies), media_type="image/svg+xml")
    ctx.progress(1, 2)
    series = [{"column": name, "values": values} for name, values in table.columns.items()]
    shown = {"title": title, "period": table.period, "periods": table.periods}
    text = json.dumps({**shown, "series": series, "anomalies": anomalies}, ensure_ascii=False)
    ctx.artifact("series.json", text, media_type="application/json")


def write(ctx: JobContext, findings: str, tokens_per_s: float) -> Generator[str, None, str]:
    """Yield the summary, return it whole."""
    text = ""
    for token in ctx.llm.stream(PROMPT + findings, script=findings, tokens_per_s=tokens_per_s):
        yield token
        text += token
        ctx.progress(len(text), len(findings))
    return text


def _of_file(ctx: JobContext, input: ReportInput) -> Reading:
    """The figures of an upload; of a large one in a child process, which slows no stream down."""
    file = input.file or ""
    size = int(ctx.file_info(file)["size"])
    if size > MAX_FILE_BYTES:
        raise TaskError(f"the file is larger than {MAX_FILE_BYTES} bytes", code="file_too_large")
    options = input.alone()
    with ctx.file_path(file) as path:
        if size > LARGE_BYTES:
            reading: Reading = ctx.compute(read_series, path, options)
            return reading
        return read_series(path, options)
