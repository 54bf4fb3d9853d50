"""Where a reader starts (`after`, `Last-Event-ID`), and what it wants: alike on all transports."""

from __future__ import annotations

from collections.abc import Sequence

from flask import request

from streaming.errors import BadRequest, InvalidInput
from streaming.events.vocabulary import CONTROL, TYPES
from streaming.events.wire import parse_position, parse_positions
from streaming.storage.rows import JobRow
from streaming.web.arguments import argument

#: What `from` may be.
STARTS = ("start", "snapshot", "latest")


def start_position(row: JobRow) -> tuple[int, bool]:
    """The position that the request asks for, and whether a snapshot comes first.

    `Last-Event-ID` beats `lastEventId` beats `after` beats `from`.
    """
    start = _start()
    name, last_id = last_event_id()
    if last_id:
        return parse_position(last_id.strip(), name=name), False
    after = argument("after")
    if after is not None:
        return parse_position(after, name="after"), False
    return (row.seq if start == "latest" else 0), start == "snapshot"


def start_positions(rows: Sequence[JobRow]) -> tuple[dict[str, int], bool]:
    """The composite position of a feed, and whether snapshots come first.

    Jobs that a given position does not name start at 0.
    """
    start = _start()
    (name, last_id), after = last_event_id(), argument("after")
    if last_id or after is not None:
        name = name if last_id else "after"
        given = parse_positions(last_id or after or "", name=name)
        return {row.id: given.get(row.id, 0) for row in rows}, False
    return {row.id: row.seq if start == "latest" else 0 for row in rows}, start == "snapshot"


def last_event_id() -> tuple[str, str]:
    """The last event that the client has seen, and what it was told in: the header, or the query.

    Polyfills of EventSource cannot set headers; they leave `after` in the address as it was, and
    write the name as each of them likes: `lastEventId`, `lastEventID`, `Last-Event-ID`.
    """
    header = request.environ.get("HTTP_LAST_EVENT_ID", "")
    if header:
        return "Last-Event-ID", header
    for name, value in request.args.items():
        if value and name.lower().replace("-", "") == "lasteventid":
            return name, value
    return "lastEventId", ""


def _start() -> str:
    start = argument("from")
    if start is None:
        return "start"
    if start not in STARTS:
        raise BadRequest(
            f"from is {start[:40]!r}; it is one of {', '.join(STARTS)}",
            code="bad_position",
            errors=[{"field": "from", "message": f"one of {', '.join(STARTS)}"}],
        )
    return start


def wanted_types() -> tuple[str, ...]:
    """`?types=a,b`; `InvalidInput` for a type that does not exist."""
    named = argument("types")
    return () if named is None else check_types(named.split(","))


def check_types(types: Sequence[str]) -> tuple[str, ...]:
    """The types without blanks; `InvalidInput` names one that does not exist."""
    wanted = tuple(kind.strip() for kind in types if kind.strip())
    for kind in wanted:
        if kind not in TYPES and kind not in CONTROL:
            raise InvalidInput.of([("types", f"there is no event type {kind[:40]!r}")])
    return wanted
