"""What the input of a task may say about how its table is to be read."""

from __future__ import annotations

import codecs
from typing import Literal

from pydantic import BaseModel, Field, field_validator

from streaming.events.vocabulary import JsonObject

_NAMES = (
    *("encoding", "delimiter", "decimal", "date_order", "header_row"),
    *("group_by", "aggregate", "total_rows"),
)


def options_last(schema: JsonObject) -> None:
    """For `json_schema_extra`: a form shows what a task is about first, and these behind it."""
    properties = schema["properties"]
    for name in _NAMES:
        properties[name] = properties.pop(name)


class TableOptions(BaseModel):
    """Options that decide what the values of a table leave open. None: the values decide."""

    def alone(self) -> TableOptions:
        """These options without what a task's input has beside them."""
        return TableOptions(**{name: getattr(self, name) for name in TableOptions.model_fields})

    encoding: str | None = Field(
        default=None,
        title="Encoding",
        description="Of an uploaded file: utf-8, cp1252, shift_jis, …; none: the bytes decide",
        max_length=40,
    )
    delimiter: str | None = Field(
        default=None,
        title="Delimiter",
        description="The character between cells; none: the rows decide",
        min_length=1,
        max_length=1,
    )
    decimal: Literal[".", ","] | None = Field(
        default=None,
        title="Decimal mark",
        description="Of all figures; none: each column's decide",
    )
    date_order: Literal["dmy", "mdy", "ymd"] | None = Field(
        default=None,
        title="Order of a date",
        description="Day, month, year; none: a column's dates decide",
    )
    header_row: int | None = Field(
        default=None,
        title="Header row",
        description="The line with the names of the columns, from 1; none: the rows decide",
        ge=1,
        le=1000,
    )
    group_by: str | None = Field(
        default=None,
        title="Group by",
        description="A column: its values are kept apart",
        max_length=200,
    )
    aggregate: Literal["sum", "mean"] | None = Field(
        default=None,
        title="Aggregate",
        description="What becomes of rows with the same period or group",
    )
    total_rows: Literal["drop", "keep"] | None = Field(
        default=None,
        title="Total rows",
        description="What becomes of rows called Total, Sum, Average, …",
    )

    @field_validator("encoding")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        if name is None:
            return None
        try:
            found = codecs.lookup(name)
            "0".encode(name).decode(name)  # which codecs that give bytes, or no text, refuse
        except (LookupError, ValueError, TypeError, AttributeError):
            raise ValueError(
                "no encoding of that name is known; try utf-8, cp1252, utf-16"
            ) from None
        if found.name in ("idna", "punycode", "unicode_escape", "raw_unicode_escape", "utf-7"):
            raise ValueError("no encoding of tables; try utf-8, cp1252, utf-16")
        return name

    @field_validator("delimiter")
    @classmethod
    def _usable(cls, mark: str | None) -> str | None:
        if mark is not None and (
            mark in '"\r\n\0' or mark.isalnum() or "\ud800" <= mark <= "\udfff"
        ):
            raise ValueError("no letter, digit, quote or line end can delimit cells")
        return mark
