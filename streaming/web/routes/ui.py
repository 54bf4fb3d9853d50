"""The AI SDK's UI message stream: ask, come back, stop, and the WebSocket."""

from __future__ import annotations

from flask import Response, request
from flask_sock import Sock
from simple_websocket import Server

from streaming.protocols.ui import HEADERS, UiEncoder
from streaming.protocols.ui_request import chat_id, parse
from streaming.web import answers
from streaming.web.answers import Held
from streaming.web.foreign import BODY_BYTES, ForeignBody, foreign_blueprint, foreign_body
from streaming.web.handshake import begin, check_handshake, hand_over
from streaming.web.json_response import as_json
from streaming.web.operations import operation
from streaming.web.responses import no_content
from streaming.web.services import services
from streaming.web.stopping import stopped
from streaming.web.ui_session import UiSession, active, asked, to_show

_MORE = {
    404: "No such model",
    409: "The Idempotency-Key belongs to another request",
    413: "The body is over 32 MiB",
    415: "The body is not JSON",
    502: "The model's server failed",
}

ui = foreign_blueprint("ui")
sock = Sock()


@ui.post("/ui/chat")
@operation(
    "Ask a model (AI SDK UI message stream)",
    tag="protocols",
    scope="submit",
    body=ForeignBody,
    may_stream=True,
    more=_MORE,
)
def create() -> Response:
    """What DefaultChatTransport sends; the answer is the parts of one message. It goes on alone."""
    body = foreign_body()
    question = parse(body)
    stream = answers.reserve("ui")
    with stream.set_up():
        return _answer(Held(stream, asked(question, body, stream)))


@ui.get("/ui/chat/<path:chat>/stream")
@operation(
    "Come back to a chat's running answer",
    tag="protocols",
    may_stream=True,
    more={204: "Nothing runs in that chat"},
)
def resume(chat: str) -> Response:
    """The whole message again from its start, and then what comes. A chat may be a job's id."""
    row = to_show(chat_id(chat))
    if row is None:
        return no_content()
    held = answers.reopen(row, "ui")
    with held.stream.set_up():
        return _answer(held)


@ui.post("/ui/chat/<path:chat>/stop")
@operation(
    "Stop a chat's running answer",
    tag="protocols",
    scope="cancel",
    more={204: "Nothing runs in that chat"},
)
def stop(chat: str) -> Response:
    """Idempotent. Streams of it end with `abort`."""
    row = active(chat_id(chat))
    if row is None:
        return no_content()
    row = stopped(row)
    return answers.with_job(as_json({"id": chat, "job": row.id, "status": row.status}), row)


@sock.route("/ui/chat", bp=ui)  # type: ignore[untyped-decorator]
@operation(
    "Chat over a WebSocket (AI SDK)",
    tag="protocols",
    status=101,
    more={405: "It is no WebSocket's handshake"},
)
def ui_socket(ws: Server) -> None:
    """What WebSocketChatTransport sends: send, resume and abort; any number of answers at once."""
    begin(ws, services().cursor({}), UiSession, max_message_bytes=BODY_BYTES)


@ui.before_request
def before_upgrade() -> None:
    """Refuse with an HTTP status what can be refused."""
    if request.endpoint == f"{ui.name}.ui_socket":
        check_handshake()


ui.after_request(hand_over)


def _answer(held: Held) -> Response:
    about = held.about
    return answers.respond_stream(
        held, lambda restarts: UiEncoder(about, restarts=restarts), HEADERS
    )
