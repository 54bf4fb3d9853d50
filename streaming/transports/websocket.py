"""WebSocket: one job, or any number over one socket, with commands from the client."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from flask import g, request
from flask_sock import Sock
from simple_websocket import ConnectionClosed, Server
from wsproto.events import Ping
from wsproto.utilities import LocalProtocolError

from streaming import wire
from streaming.concurrency import Waker
from streaming.cursor import Cursor
from streaming.errors import BadRequest, StreamingError, problem
from streaming.events import Json, dumps
from streaming.web.auth import check_origin, find_job
from streaming.web.blueprints import owned_blueprint
from streaming.web.bodies import parse_json
from streaming.web.jobs import AnswerBody, CancelBody, SubmitBody, answer, cancel, submit, validate
from streaming.web.operations import operation
from streaming.web.positions import check_types, start_position, wanted_types
from streaming.web.schemas import PositionQuery
from streaming.web.services import services
from streaming.web.sockets import SEND_S, WholeSocket, wrap_socket
from streaming.web.streams import Closing, Stream

logger = logging.getLogger(__name__)

#: Quiet times (heartbeats) of silence after which a peer is gone.
SILENT_BEATS = 3
#: Jobs that one socket follows at the most.
SUBSCRIPTIONS = 100
#: Seconds to wait for the peer's part of the closing handshake.
CLOSING_S = 1.5
#: Close codes (RFC 6455, 7.4.1, and IANA's list).
NORMAL, GOING_AWAY, OUR_FAULT, RESTART, TRY_LATER = 1000, 1001, 1011, 1012, 1013

websocket = owned_blueprint("websocket")
sock = Sock()


@websocket.before_request
def before_upgrade() -> None:
    """Refuse with an HTTP status what can be refused; from here on frames are sent whole."""
    check_origin()
    job = (request.view_args or {}).get("job")
    positions: dict[str, int] = {}
    g.from_snapshot = False
    if job is not None:
        row = find_job(job)
        positions[row.id], g.from_snapshot = start_position(row)
    g.cursor = services().cursor(positions, wanted_types())
    g.socket = wrap_socket(request.environ)


@sock.route("/jobs/<job>/ws", bp=websocket)  # type: ignore[untyped-decorator]
@operation("Watch a job over WebSocket", tag="watch", status=101, query=(PositionQuery,))
def job_socket(ws: Server, job: str) -> None:
    """Each event is one JSON text frame; it closes with 1000 after the terminal event.

    Messages to the server: {"type": "cancel", "reason"?}, {"type": "input", "data", "request"?},
    {"type": "ping"}. Each may carry a "ref" and is answered by an "ack" or an "error" with it.
    """
    _serve(ws, g.cursor, job)


@sock.route("/ws", bp=websocket)  # type: ignore[untyped-decorator]
@operation("Watch and steer any number of jobs over one WebSocket", tag="watch", status=101)
def any_socket(ws: Server) -> None:
    """Stays open. Messages to the server, besides those of the socket of one job (with "job"):

    {"type": "subscribe", "job", "after"?, "types"?}, {"type": "unsubscribe", "job"},
    {"type": "submit", …the fields of POST /v1/jobs, "idempotency_key"?}.
    """
    _serve(ws, g.cursor, None)


def _serve(ws: Server, cursor: Cursor, job: str | None) -> None:
    stream = services().streams.open("websocket", cursor)
    if stream is None:
        _close(ws, TRY_LATER, "there is no room for another stream")
        return
    try:
        code, message = Session(ws, g.socket, stream, job).run()
    except (ConnectionClosed, LocalProtocolError):  # it has been closed, from either side
        _linger(ws, g.socket)
        return
    except OSError:  # the peer is gone, or takes no data
        code, message = GOING_AWAY, "the peer takes no data"
    except Exception:  # the top of a connection: there is no response that could tell
        logger.exception("the socket of %s failed", request.path)
        code, message = OUR_FAULT, "the server failed"
    finally:
        stream.close()
    _close(ws, code, message)


def _close(ws: Server, code: int, message: str) -> None:
    """Close, and give the peer time to answer: an early end of TCP could lose our frames."""
    try:
        ws.close(code, message)
    except (OSError, ConnectionClosed, LocalProtocolError):
        return  # it is closed already, which is what was wanted
    _linger(ws, g.socket)


def _linger(ws: Server, whole: WholeSocket | None) -> None:
    """Wait until the peer has closed as well, while it still takes what was sent."""
    until = time.monotonic() + SEND_S
    while time.monotonic() < until:
        ws.thread.join(CLOSING_S)
        if not ws.thread.is_alive() or whole is None or not whole.taking():
            return
        if services().streams.draining:  # the server has no time
            return


class _Arrival:
    """Stands where simple-websocket has its event: what arrives wakes the stream."""

    def __init__(self, waker: Waker) -> None:
        self.set = waker.wake

    def clear(self) -> None:
        return None


class Session:
    """One connection: deliveries out, commands in, pings between them."""

    def __init__(
        self, ws: Server, whole: WholeSocket | None, stream: Stream, job: str | None
    ) -> None:
        self._ws = ws
        self._socket = whole
        self._stream = stream
        self._job = job
        self._beat_s = services().settings.heartbeat_s
        self._next_ping = time.monotonic() + self._beat_s
        ws.max_message_size = services().settings.max_body_bytes
        ws.event = _Arrival(stream.waker)
        stream.waker.wake()  # for what arrived before
        stream.two_way, stream.stays = True, job is None
        if whole is not None:
            whole.waiting = lambda: len(ws.input_buffer)

    def run(self) -> tuple[int, str]:
        """Until an end; the code and reason to close with."""
        if g.from_snapshot and self._job is not None:
            self._send(self._stream.cursor.snapshot(self._job).json)
        for part in self._stream.parts():
            if isinstance(part, Closing):
                self._send(wire.control_json("stream.closing", None, part.data))
                return RESTART, part.reason
            if isinstance(part, list):
                for delivery in part:
                    self._send(delivery.json)
            self._receive()
            if not self._ping():
                return GOING_AWAY, "no sign of life"
            if not self._ws.connected:
                raise ConnectionClosed(self._ws.close_reason, self._ws.close_message)
        return NORMAL, "the job has ended"

    def _send(self, body: bytes) -> None:
        self._ws.send(body.decode())

    def _ping(self) -> bool:
        """Ping when it is time; False when the peer has been silent for too long."""
        now = time.monotonic()
        if now >= self._next_ping and self._socket is not None:
            self._next_ping = now + self._beat_s
            self._socket.send(self._ws.ws.send(Ping()))
            return self._socket.silent_s() < SILENT_BEATS * self._beat_s
        return True

    def _receive(self) -> None:
        """Handle the messages that have arrived."""
        while self._ws.input_buffer:
            message = self._ws.input_buffer.pop(0)
            ref: Json = None
            try:
                command = self._parse(message)
                ref = command.pop("ref", None)
                reply = self._execute(command.pop("type", None), command)
                self._send(dumps({"type": "ack", "ref": ref, **reply}))
            except StreamingError as error:
                shown = problem(error, instance=request.path)
                self._send(dumps({"type": "error", "ref": ref, "error": shown}))

    def _parse(self, message: str | bytes) -> dict[str, Json]:
        command = parse_json(message)
        if not isinstance(command, dict):
            raise BadRequest('a message is a JSON object: {"type": …}')
        return command

    def _execute(self, kind: Json, command: dict[str, Json]) -> Mapping[str, Json]:
        commands: dict[str, Callable[[dict[str, Json]], Mapping[str, Json]]] = {
            "ping": lambda _: {},
            "cancel": self._cancel,
            "input": self._input,
        }
        if self._job is None:
            commands |= {
                "subscribe": self._subscribe,
                "unsubscribe": self._unsubscribe,
                "submit": self._submit,
            }
        if not isinstance(kind, str) or kind not in commands:
            raise BadRequest(
                f"type is {str(kind)[:40]!r}; here it is one of {', '.join(commands)}",
                code="unknown_command",
            )
        return commands[kind](command)

    def _cancel(self, command: dict[str, Json]) -> Mapping[str, Json]:
        row = find_job(self._named(command))
        return self._shown(cancel(row, validate(CancelBody, command)).id)

    def _input(self, command: dict[str, Json]) -> Mapping[str, Json]:
        row = find_job(self._named(command))
        return self._shown(answer(row, validate(AnswerBody, command)).id)

    def _submit(self, command: dict[str, Json]) -> Mapping[str, Json]:
        key = command.pop("idempotency_key", None)
        self._check_room()
        row, _ = submit(validate(SubmitBody, command), command, key=key)
        self._follow(row.id, 0)
        return self._shown(row.id)

    def _subscribe(self, command: dict[str, Json]) -> Mapping[str, Json]:
        row = find_job(self._named(command))
        after = command.pop("after", 0)
        if isinstance(after, bool) or not isinstance(after, int) or after < 0:
            raise BadRequest(
                "after is the seq of the last event seen, 0 or more", code="bad_position"
            )
        types = command.pop("types", [])
        if not isinstance(types, list) or not all(isinstance(kind, str) for kind in types):
            raise BadRequest("types is a list of event types")
        self._check_room()
        self._stream.cursor.follow(row.id, after, check_types(types))
        self._stream.enter(row.id)
        return self._shown(row.id)

    def _unsubscribe(self, command: dict[str, Json]) -> Mapping[str, Json]:
        job = self._named(command)
        self._stream.cursor.unfollow(job)
        self._stream.leave(job)
        return {}

    def _follow(self, job: str, after: int) -> None:
        self._stream.cursor.follow(job, after)
        self._stream.enter(job)

    def _check_room(self) -> None:
        if len(self._stream.cursor.positions) >= SUBSCRIPTIONS:
            raise BadRequest(f"one socket follows {SUBSCRIPTIONS} jobs; unsubscribe from some")

    def _named(self, command: dict[str, Json]) -> str:
        job = command.pop("job", self._job)
        if not isinstance(job, str) or (self._job is not None and job != self._job):
            raise BadRequest("job is the id of the job that is meant")
        return job

    def _shown(self, job: str) -> Mapping[str, Json]:
        return {"job": services().snapshot(job)}
