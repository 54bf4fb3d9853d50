"""A line for each request and each stream, with who asked for what; WebSockets too."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Mapping

from flask import Response, g, has_request_context, request

from streaming.web.auth import known_principal
from streaming.web.services import settings

logger = logging.getLogger("streaming.requests")

#: What a proxy in front may have called the request, also as WSGI has it.
HEADER, _IN_ENVIRON = "X-Request-ID", "HTTP_X_REQUEST_ID"
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def begin_request() -> None:
    """Give the request its id: the proxy's, or a new one. `InvalidSettings` for bad settings."""
    given = request.environ.get(_IN_ENVIRON, "")
    g.request_id = given if _ID.fullmatch(given) else secrets.token_hex(8)
    g.began_at = time.monotonic()
    g.logs_requests = settings().log_requests


def end_request(response: Response) -> Response:
    """Tell the client the id, and the log what was asked: never the query, where tickets are."""
    if "request_id" not in g:  # the host app has answered before it came to us
        return response
    response.headers[HEADER] = g.request_id
    if g.get("logs_requests"):  # not known where the settings are bad: the answer says so
        status = getattr(response, "logged_status", response.status_code)
        seconds = round(time.monotonic() - g.began_at, 4)
        logger.info(
            "%s %s %d",
            request.method,
            request.path,
            status,
            extra={"status": status, "seconds": seconds, **_job()},
        )
    return response


def stream_ended(
    transport: str, positions: Mapping[str, int], *, seconds: float, owner: str, request_id: str
) -> None:
    """A stream has ended; called in its thread, after its request."""
    jobs = list(positions)
    logger.info(
        "%s stream ended after %.1f s",
        transport,
        seconds,
        extra={
            "request_id": request_id,
            "owner": owner,
            "transport": transport,
            "seconds": round(seconds, 3),
            "job": jobs[0] if len(jobs) == 1 else jobs,
            "positions": positions,
        },
    )


class RequestFields(logging.Filter):
    """Has every line that is written during a request say which one, and whose."""

    def filter(self, record: logging.LogRecord) -> bool:
        if has_request_context():
            known = known_principal()
            for name, value in (
                ("request_id", g.get("request_id")),
                ("owner", known and known.owner),
            ):
                if value and not hasattr(record, name):
                    setattr(record, name, value)
        return True


def _job() -> dict[str, str]:
    job = (request.view_args or {}).get("job")
    return {} if job is None else {"job": str(job)}
