"""WebSocket: one job, or any number over one socket, with commands from the client."""

from __future__ import annotations

from flask import g, request
from flask_sock import Sock
from simple_websocket import Server

from streaming.errors import UpgradeRequired
from streaming.web.auth import find_job
from streaming.web.blueprints import owned_blueprint
from streaming.web.handshake import (
    TRY_LATER as TRY_LATER,
    begin,
    check_handshake,
    hand_over,
    upgrade_required,
)
from streaming.web.operations import operation
from streaming.web.positions import start_position, wanted_types
from streaming.web.schemas import PositionQuery
from streaming.web.services import services
from streaming.web.session import Session

websocket = owned_blueprint("websocket")
sock = Sock()


@websocket.before_request
def before_upgrade() -> None:
    """Refuse with an HTTP status what can be refused."""
    job = (request.view_args or {}).get("job")
    positions: dict[str, int] = {}
    g.from_snapshot = False
    if job is not None:
        row = find_job(job)
        positions[row.id], g.from_snapshot = start_position(row)
    g.cursor = services().cursor(positions, wanted_types(), slim=True)
    check_handshake()


@sock.route("/jobs/<job>/ws", bp=websocket)  # type: ignore[untyped-decorator]
@operation(
    "Watch a job over WebSocket",
    tag="watch",
    takes_ticket=True,
    status=101,
    query=(PositionQuery,),
)
def job_socket(ws: Server, job: str) -> None:
    """Each event is one JSON text frame; it closes with 1000 after the terminal event.

    Messages to the server: {"type": "cancel", "reason"?}, {"type": "input", "data", "request"?},
    {"type": "ping"}. Each may carry a "ref" and is answered by an "ack" or an "error" with it.
    """
    _begin(ws, job)


@sock.route("/ws", bp=websocket)  # type: ignore[untyped-decorator]
@operation(
    "Watch and steer any number of jobs over one WebSocket",
    tag="watch",
    takes_ticket=True,
    status=101,
)
def any_socket(ws: Server) -> None:
    """Stays open. Messages to the server, besides those of the socket of one job (with "job"):

    {"type": "subscribe", "job", "after"?, "types"?}, {"type": "unsubscribe", "job"},
    {"type": "submit", …the fields of POST /v1/jobs, "idempotency_key"?}.
    """
    _begin(ws, None)


def _begin(ws: Server, job: str | None) -> None:
    begin(
        ws,
        g.cursor,
        lambda connection, stream: Session(connection, stream, job, from_snapshot=g.from_snapshot),
        max_message_bytes=services().settings.max_body_bytes,
    )


websocket.register_error_handler(UpgradeRequired, upgrade_required)
websocket.after_request(hand_over)
