"""`BadCsv`: why a table cannot be read, where, and which option would decide it."""

from __future__ import annotations

import re
from collections.abc import Callable

from streaming.events.vocabulary import JsonObject

#: Characters of a cell that a message shows.
SHOWN = 60

_LONE = re.compile("[\ud800-\udfff]")


class BadCsv(ValueError):
    """Raised for what is no table, or leaves open how to read it. `extra` has line and column.

    Lines are counted from 1 as an editor counts them. A column is given by its name, or by its
    number from 1 where it has none. `option`, where there is one, is in `extra` too: with that
    option in the task's input the table reads.
    """

    def __init__(
        self, message: str, line: int, column: str | int, *, option: str | None = None
    ) -> None:
        message = _LONE.sub("\ufffd", message)
        column = _LONE.sub("\ufffd", column) if isinstance(column, str) else column
        where = f"column {column!r}" if isinstance(column, str) else f"column {column}"
        super().__init__(f"line {line}, {where}: {message}")
        self.extra: JsonObject = {"line": line, "column": column}
        if option is not None:
            self.extra["option"] = option
        self._given = (message, line, column, option)

    def __reduce__(self) -> tuple[Callable[..., BadCsv], tuple[object, ...]]:
        """It may come from a child process."""
        return _again, self._given


def _again(message: str, line: int, column: str | int, option: str | None) -> BadCsv:
    return BadCsv(message, line, column, option=option)


def shown(cell: str) -> str:
    """A cell as a message quotes it."""
    return repr(cell if len(cell) <= SHOWN else cell[:SHOWN] + "…")
