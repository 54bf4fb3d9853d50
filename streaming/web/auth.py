"""Who asks, and what they may do: checked in one place for every route."""

from __future__ import annotations

import socket
from dataclasses import replace
from uuid import UUID

from flask import current_app, has_request_context, request
from werkzeug.local import LocalProxy

from streaming.config import is_loopback
from streaming.errors import Forbidden, Unauthorized
from streaming.jobs.registry import unknown_job
from streaming.running.origin import UserId
from streaming.storage.rows import JobRow
from streaming.watching.hangups import client_socket
from streaming.web.arguments import argument
from streaming.web.hosts import asked_host, is_own
from streaming.web.origins import running
from streaming.web.principal import USER, Principal
from streaming.web.services import Authorize, Services, services
from streaming.web.tickets import PARAMETER

ANONYMOUS = Principal("anonymous")

#: Kept with the request itself: an app context, and `g` with it, may outlive the request.
_KNOWN = "_streaming_principal"
#: What proxies add: somebody else asks through them.
FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP")
#: Methods that change nothing; any page may have a browser send them.
SAFE = ("GET", "HEAD", "OPTIONS")


def principal() -> Principal:
    """Who makes the present request; `Unauthorized` or `Forbidden` for nobody who may."""
    found = known_principal()
    if found is None:
        found = _identify(services())
        setattr(request, _KNOWN, found)
    return found


def known_principal() -> Principal | None:
    """Who makes the present request, if that was found out already."""
    found: Principal | None = getattr(request, _KNOWN, None)
    return found


def owner() -> str:
    """The owner of what the request makes."""
    return principal().owner


def submitter(named: UserId | Principal | None = None) -> Principal:
    """Whose a job is that the app's own code submits: `named`, or who it runs for.

    That is who makes the present request, or whose job the present task works on; anywhere else
    it must be said (`TypeError`), unless nobody is told apart.
    """
    found = services()
    if named is not None:
        if found.authorize is not None:
            return _identified(named)
        return named if isinstance(named, Principal) else Principal(str(named), user=named)
    if has_request_context():
        return principal()
    outer = running()
    if outer is not None:
        return Principal(outer.owner, user=outer.origin.user)
    if found.authorize is None and not found.settings.keyed:
        return ANONYMOUS
    raise TypeError("outside of a request say whose job it is: submit(task, input, owner=user.id)")


def require(scope: str) -> None:
    """`Forbidden` when the one who asks lacks the scope."""
    if not principal().may(scope):
        raise Forbidden(
            f"this takes the scope {scope!r}, which your key or ticket does not have",
            code="scope_missing",
        )


def count(scope: str) -> None:
    """Count what is asked against the owner's rate; `TooMany` when it is over it."""
    services().rates.check("submits" if scope == "submit" else "requests", payer())


def payer() -> str:
    """Whose rate a request counts for: nobody's name is everybody's, so there the address."""
    asker = principal()
    return asker.owner if asker is not ANONYMOUS else f"{asker.owner}:{request.remote_addr}"


def refuse_ticket() -> None:
    """`Forbidden` when a ticket is all that the one who asks has."""
    if principal().jobs is not None:
        raise Forbidden("a ticket is not taken here; send an API key", code="ticket_not_accepted")


def find_job(job: str) -> JobRow:
    """The job's row, if the asker may see it: `NotFound` and `Expired` otherwise."""
    asker = principal()
    if asker.jobs is not None and job not in asker.jobs:
        raise unknown_job(job)
    return services().registry.find(job, asker.sees)


def check_origin() -> None:
    """Browsers let any page open a WebSocket and post a form: only our own and allowed ones may."""
    origin = request.headers.get("Origin")
    if origin is None or origin in services().settings.allowed_origins:
        return
    if not is_own(origin):
        raise Forbidden(
            f"origin {origin[:100]!r} is not allowed; see STREAMING_ALLOWED_ORIGINS",
            code="origin_not_allowed",
        )


def _identify(found: Services) -> Principal:
    settings = found.settings
    if found.authorize is None and not settings.keyed and not settings.allow_anonymous:
        _check_from_this_machine()
    ticket = argument(PARAMETER)
    if ticket is not None:
        return _of_ticket(found, ticket)
    if found.authorize is not None:
        return _ask(found.authorize)
    return _of_key(found) if settings.keyed else ANONYMOUS


def _of_ticket(found: Services, text: str) -> Principal:
    """The ticket's rights, as far as the key that it was made with still has them."""
    ticket = found.tickets.read(text)
    if not ticket.key:
        return ticket
    maker = found.keys.of(ticket.key)
    if maker is None or not maker.may("read"):
        raise Unauthorized("the key of this ticket was revoked", code="invalid_ticket")
    return replace(ticket, scopes=ticket.scopes & maker.scopes)


def _ask(authorize: Authorize) -> Principal:
    """Who asks, as the host app says; `TypeError` for what names nobody in particular."""
    return _identified(authorize())


def _identified(user: object) -> Principal:
    if isinstance(user, LocalProxy):  # `lambda: current_user` and the like
        user = user._get_current_object()  # noqa: SLF001 - as Flask's documentation does
    if user is None or user is False or (isinstance(user, str) and not user):
        raise Unauthorized("log in first")
    if isinstance(user, bool) or not isinstance(user, str | int | UUID | Principal):
        raise TypeError(
            f"authorize= or owner= gave {user!r:.80}; it is the user's id (str, int or UUID), a "
            "Principal, or None, False or '' for nobody"
        )
    known = user if isinstance(user, Principal) else Principal(str(user), user=user)
    if known.owner == "":
        raise Unauthorized("log in first")
    called = known.owner if known.user is None else known.user
    return replace(known, owner=f"{USER}{known.owner}", user=called)


def _of_key(found: Services) -> Principal:
    sent = request.environ
    scheme, _, key = sent.get("HTTP_AUTHORIZATION", "").partition(" ")
    if not scheme:  # as Anthropic's clients send it
        scheme, key = "bearer", sent.get("HTTP_X_API_KEY", "")
    known = found.keys.find(key.strip()) if scheme.lower() == "bearer" else None
    if known is None:
        raise Unauthorized("send a valid API key: Authorization: Bearer KEY, or x-api-key: KEY")
    return known


def _over_unix_socket() -> bool:
    sock = client_socket(request.environ)
    return sock is not None and sock.family == socket.AF_UNIX


def _is_tested(host: str) -> bool:
    """Whether the app's own test client asks: it calls the app by its `SERVER_NAME`."""
    named = str(current_app.config.get("SERVER_NAME") or "")
    return current_app.testing and host == named.partition(":")[0].lower()


def _check_from_this_machine() -> None:
    """Nobody else asks: no proxy in between, and no foreign name that leads here."""
    forwarded = any(name in request.headers for name in FORWARDED)
    host = asked_host()
    if forwarded:
        local = False
    elif _over_unix_socket():  # the file's rights say who on this machine may
        local = True
    else:
        local = is_loopback(request.remote_addr or "") and (is_loopback(host) or _is_tested(host))
    if local:
        return
    raise Forbidden(
        "without API keys only this machine is served. In an app of your own say who asks: "
        "Streaming(app, authorize=lambda: the user's id). For programs set STREAMING_API_KEYS; to "
        "let anyone in, STREAMING_ALLOW_ANONYMOUS=1",
        code="anonymous_not_allowed",
    )
