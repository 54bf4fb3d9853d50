"""The tools of the task `agent`: search, arithmetic, dates, and figures of an uploaded table."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib import resources

from streaming.errors import TaskError
from streaming.events.vocabulary import Json, JsonObject
from streaming.running.context import JobContext
from streaming.tasks.analysis.calculate import calculate, days
from streaming.tasks.analysis.table import BadCsv, Table, parse
from streaming.tasks.search import DocumentSet, Section, sections

#: Bytes of a document or a table.
MAX_FILE_BYTES = 4 << 20


def _tool(name: str, about: str, **parameters: str) -> JsonObject:
    shown = {key: {"type": "string", "description": text} for key, text in parameters.items()}
    schema = {"type": "object", "properties": shown, "required": list(parameters)}
    return {
        "type": "function",
        "function": {"name": name, "description": about, "parameters": schema},
    }


TOOLS = (
    _tool("search", "Search the documents", query="what to look for"),
    _tool("calculate", "Calculate", expression="for example (12 + 3) * 4"),
    _tool("date", "Days and dates", expression="today; 2024-03-31 + 30 days; or two days"),
)
TABLE_TOOL = _tool(
    "look_up",
    "Look up a figure of the uploaded table",
    column="the name of a column",
    period="a period, or sum, mean, min, max",
)


def make_tools(
    ctx: JobContext, documents: Sequence[str], table: str | None
) -> Mapping[str, Callable[..., Json]]:
    """The tools by name, for these uploaded documents and this table."""

    def find(query: str) -> list[dict[str, str]]:
        with contextlib.closing(DocumentSet(load_documents(ctx, documents))) as found:
            hits = found.search(query)
        return [{"id": hit.id, "title": hit.title, "text": hit.text} for hit in hits]

    def look_up(column: str, period: str) -> float:
        return figure(load_table(ctx, table), column, period)

    def date(expression: str) -> str:
        return days(expression, today=datetime.now(UTC).date())

    return {"search": find, "calculate": calculate, "date": date, "look_up": look_up}


def load_documents(ctx: JobContext, documents: Sequence[str]) -> Iterator[Section]:
    """The sections of the uploaded documents, or of the handbook."""
    if not documents:
        for page in sorted(
            resources.files("streaming.tasks").joinpath("handbook").iterdir(), key=str
        ):
            yield from sections(page.name, page.read_text("utf-8"))
    for file in documents:
        name = str(ctx.file_info(file).get("name") or file)
        yield from sections(name, read_text(ctx, file))


def check_files(ctx: JobContext, documents: Sequence[str], table: str | None) -> None:
    """A file that is not there or is no table ends the job before any work."""
    for file in documents:
        read_text(ctx, file)
    if table:
        load_table(ctx, table)


def load_table(ctx: JobContext, file: str | None) -> Table:
    if file is None:
        raise TaskError("no table was uploaded", code="file_not_found")
    try:
        return parse(read_text(ctx, file))
    except BadCsv as error:
        raise TaskError(str(error), code="bad_csv", **error.extra) from error


def read_text(ctx: JobContext, file: str) -> str:
    with ctx.open_file(file) as upload:
        data = upload.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise TaskError(f"{file} is larger than {MAX_FILE_BYTES} bytes", code="file_too_large")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"{file} is no text in UTF-8 (byte {error.start})"
        raise TaskError(message, code="bad_document") from error


def figure(table: Table, column: str, period: str) -> float:
    """A figure of a column: of a period, or over all of them."""
    if column not in table.columns:
        raise TaskError(f"there is no column {column!r}; there are {', '.join(table.columns)}")
    values = [value for value in table.columns[column] if value is not None]
    over_all: dict[str, Callable[[], float]] = {
        "sum": lambda: sum(values),
        "mean": lambda: sum(values) / len(values),
        "min": lambda: min(values),
        "max": lambda: max(values),
    }
    if period in over_all and values:
        return round(over_all[period](), 6)
    if period not in table.periods:
        raise TaskError(f"there is no period {period!r}")
    value = table.columns[column][table.periods.index(period)]
    if value is None:
        raise TaskError(f"{column} has no figure for {period}")
    return value
