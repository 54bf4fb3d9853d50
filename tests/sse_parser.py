"""Server-sent events as somebody else's parser reads them."""

from __future__ import annotations

import httpx
from httpx_sse import EventSource, ServerSentEvent


def parse_sse(body: bytes) -> list[ServerSentEvent]:
    """The events of a stream's bytes, those without data too; an unfinished one is dropped."""
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=body)
    return list(EventSource(response).iter_sse())
