"""What every WebSocket session does: run to an end, ping, close, give back."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod

from flask import Flask, current_app, request

from streaming.watching.message_meter import Flooded, MessageMeter
from streaming.watching.stream import Stream
from streaming.watching.websocket import Closed, Connection
from streaming.web.services import services

logger = logging.getLogger(__name__)

#: Quiet times (heartbeats) of silence after which a peer is gone.
SILENT_BEATS = 3
#: Close codes (RFC 6455, 7.4.1, and IANA's list).
NORMAL, GOING_AWAY, NOT_ALLOWED, OUR_FAULT, RESTART = 1000, 1001, 1008, 1011, 1012


class SocketSession(ABC):
    """One connection. Built in its request, served after it."""

    def __init__(self, connection: Connection, stream: Stream) -> None:
        self._app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001
        self._environ = request.environ
        self._services = services()
        self._connection = connection
        self._stream = stream
        self._meter = MessageMeter(self._services.settings.messages_per_s)
        self._beat_s = self._services.settings.heartbeat_s
        self._next_ping = time.monotonic() + self._beat_s
        stream.listen()

    def serve(self) -> None:
        """The whole connection, until both sides have closed it."""
        code, message = self._run_to_end()
        self._connection.close(code, message)
        self._connection.linger(patient=lambda: not self._services.streams.server.draining)

    def end(self) -> None:
        """Give back what the stream holds."""
        self._stream.close()

    @abstractmethod
    def _run(self) -> tuple[int, str]:
        """Until an end; the code and reason to close with."""

    def _run_to_end(self) -> tuple[int, str]:
        """`_run`, or what stands in its way; the code and reason count where it is still open."""
        try:
            return self._run()
        except Closed:
            return NORMAL, ""
        except Flooded:
            return NOT_ALLOWED, "far too many messages"
        except OSError:  # the peer is gone, or takes no data
            return GOING_AWAY, "the peer takes no data"
        except Exception:  # the top of a connection: there is no response that could tell
            logger.exception("the socket of %s failed", self._environ.get("PATH_INFO"))
            return OUR_FAULT, "the server failed"
        finally:
            self.end()

    def _ping(self) -> bool:
        """Ping when it is time; False when the peer has been silent for too long."""
        now = time.monotonic()
        if now < self._next_ping:
            return True
        self._next_ping = now + self._beat_s
        self._connection.ping()
        silent_s = min(self._connection.silent_s(), now - self._stream.taken_at)
        return silent_s < SILENT_BEATS * self._beat_s
