"""Tickets: signed, short-lived rights to read named jobs, for clients that can set no headers."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection
from functools import cached_property

from itsdangerous import BadData, URLSafeSerializer

from streaming.errors import Unauthorized
from streaming.web.principal import Principal

#: The query parameter that carries a ticket.
PARAMETER = "ticket"
#: What every ticket begins with, so that logs can leave it out.
PREFIX = "tkt_"
#: Maximum characters of a ticket: a hundred jobs take about 2,700.
MAX_LENGTH = 4096


class Tickets:
    """Makes and reads tickets. All processes with the same secret read each other's."""

    def __init__(
        self, secret: Callable[[], str | bytes], *, clock: Callable[[], float] = time.time
    ) -> None:
        """`secret` is asked for when the first ticket is made or read."""
        self._clock = clock
        self._secret = secret

    def issue(self, principal: Principal, jobs: Collection[str], ttl_s: float) -> tuple[str, float]:
        """A ticket for `jobs`, which the principal may read, and its end in epoch seconds."""
        expires_at = round(self._clock() + ttl_s, 3)
        text = self._signer.dumps(
            [principal.owner, principal.key, int(principal.may("admin")), expires_at, list(jobs)]
        )
        return f"{PREFIX}{text}", expires_at

    def read(self, text: str) -> Principal:
        """Whose rights it carries, for its jobs alone; `Unauthorized` when forged or over."""
        try:
            if len(text) > MAX_LENGTH or not text.startswith(PREFIX):
                raise ValueError("no ticket")
            owner, key, admin, expires_at, jobs = self._signer.loads(text[len(PREFIX) :])
            over, named = float(expires_at) <= self._clock(), frozenset(map(str, jobs))
        except (BadData, ValueError, TypeError):  # TypeError: another version's
            raise Unauthorized(
                "this is no ticket of this server; ask for one: POST /v1/tickets",
                code="invalid_ticket",
            ) from None
        if over:
            raise Unauthorized(
                "this ticket is over; ask for a new one: POST /v1/tickets", code="ticket_expired"
            )
        scopes = frozenset({"read", "admin"} if admin else {"read"})
        return Principal(owner, scopes, jobs=named, expires_at=expires_at, key=key)

    @cached_property
    def _signer(self) -> URLSafeSerializer:
        return URLSafeSerializer(
            self._secret(),
            salt="streaming.ticket",
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
        )
