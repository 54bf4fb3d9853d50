"""A server that sends back what it is sent, over our WebSocket connections."""

from __future__ import annotations

import select
import socket

from flask import Flask, g, request
from flask_sock import Sock
from simple_websocket import Server

from streaming.events.wire import ws_text
from streaming.watching.hangups import client_socket
from streaming.watching.websocket import Closed, Connection, prepare_handshake
from streaming.web.handshake import _Response, hand_over

#: Seconds of silence after which a connection is left.
SILENCE_S = 60.0
#: The largest message of the suite has 16 MiB.
MAX_BYTES = 32 << 20

app = Flask(__name__)
sock = Sock(app)
app.after_request(hand_over)


@app.before_request
def before_upgrade() -> None:
    prepare_handshake(request.environ)


@sock.route("/")
def echo(ws: Server) -> None:
    ws.connected = False
    raw = client_socket(request.environ)
    assert raw is not None
    connection = Connection(raw, max_message_bytes=MAX_BYTES)
    g.served = _Response(lambda: serve(raw, connection), lambda: None)


def serve(raw: socket.socket, connection: Connection) -> None:
    try:
        while select.select([raw], [], [], SILENCE_S)[0]:
            for message in connection.receive():
                connection._write(frame(message))
    except (Closed, OSError):
        pass
    connection.linger()


def frame(message: str | bytes) -> bytes:
    if isinstance(message, str):
        return ws_text(message.encode())
    return b"\x82" + ws_text(message)[1:]
