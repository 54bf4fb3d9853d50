"""Who asks: the owner behind a request, checked in one place for every route."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from urllib.parse import urlsplit

from flask import g, request

from streaming.config import Settings, is_loopback
from streaming.errors import Forbidden, Unauthorized
from streaming.storage.base import JobRow
from streaming.web.services import services

ANONYMOUS = "anonymous"

#: What proxies add: somebody else asks through them.
FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP")
#: Methods that change nothing; any page may have a browser send them.
SAFE = ("GET", "HEAD", "OPTIONS")


def owner() -> str:
    """The owner of what the request makes, and of all that it may see."""
    if "streaming_owner" not in g:
        authorize = services().authorize
        g.streaming_owner = _identify(services().settings) if authorize is None else _ask(authorize)
    found: str = g.streaming_owner
    return found


def find_job(job: str) -> JobRow:
    """The job's row, if the asker may see it: `NotFound` and `Expired` otherwise."""
    return services().registry.find(job, owner())


def check_origin() -> None:
    """Browsers let any page open a WebSocket and post a form: only our own and allowed ones may."""
    origin = request.headers.get("Origin")
    if origin is None or origin in services().settings.allowed_origins:
        return
    if urlsplit(origin).netloc != request.host:
        raise Forbidden(
            f"origin {origin[:100]!r} is not allowed; see STREAMING_ALLOWED_ORIGINS",
            code="origin_not_allowed",
        )


def _ask(authorize: Callable[[], str | None]) -> str:
    user = authorize()
    if user is None:
        raise Unauthorized("log in first")
    return f"user:{user}"


def _from_this_machine() -> bool:
    """Whether nobody else asks: no proxy in between, and no foreign name that leads here."""
    forwarded = any(name in request.headers for name in FORWARDED)
    host = urlsplit(f"//{request.host}").hostname or ""
    return is_loopback(request.remote_addr or "") and is_loopback(host) and not forwarded


def _identify(settings: Settings) -> str:
    if not settings.api_keys:
        if not settings.allow_anonymous and not _from_this_machine():
            raise Forbidden(
                "without API keys only this machine is served; set STREAMING_API_KEYS, or "
                "STREAMING_ALLOW_ANONYMOUS=1 to let anyone in",
                code="anonymous_not_allowed",
            )
        return ANONYMOUS
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    known = [each for each in settings.api_keys if hmac.compare_digest(each, key.strip())]
    if scheme.lower() != "bearer" or not known:
        raise Unauthorized("send a valid API key: Authorization: Bearer KEY")
    return "key:" + hashlib.sha256(known[0].encode()).hexdigest()[:24]
