"""Opening a stream for the one who asks, or turning them away."""

from __future__ import annotations

from streaming.cursor import Cursor
from streaming.web.auth import payer, principal
from streaming.web.services import services
from streaming.web.streams import Refusal, Stream


def open_stream(transport: str, cursor: Cursor) -> Stream | Refusal:
    """A stream of the present request, as far as limits and the owner's rate allow one."""
    found = services()
    if not found.rates.allows("requests", payer()):
        return found.streams.refuse("rate_exceeded")
    return found.streams.open(transport, cursor, principal())
