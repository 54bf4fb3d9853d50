"""Answers in one piece, with a status of their own.

Who waits for one for longer than `HOLD_S` holds nothing of the app's meanwhile: the rest of the
wait is the body's, whose request is over.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

from flask import Response, request

from streaming.errors import StreamingError
from streaming.events.event import Event
from streaming.web import answer_errors
from streaming.web.answers import HOLD_S, Held, read_events, with_job
from streaming.web.foreign import ErrorBody, error_response, openai_body
from streaming.web.problems import REFUSALS
from streaming.web.services import Services, services
from streaming.web.waiting import Answer, waiting


class Taker(Protocol):
    """Makes an answer of events."""

    @property
    def done(self) -> bool:
        """Whether it has all that it needs."""

    def take(self, event: Event) -> object:
        """The next event of the job."""


T = TypeVar("T", bound=Taker)


def respond_whole(
    held: Held, taker: T, make: Callable[[T], Response], error_body: ErrorBody = openai_body
) -> Response:
    """What `make` makes once the taker has all; its request is a viewer, and may hang up.

    `make` uses nothing of Flask's context. A `StreamingError` of it is answered as the protocol
    has it.
    """
    stream, found = held.stream, services()
    with stream.set_up():
        stream.watch()
        if _has_all(held, taker, found, time.monotonic() + HOLD_S):
            stream.close()
            return with_job(make(taker), held.row)
        rest = partial(_made, held, taker, found, make)
        failed = partial(_failed, found, error_body, request.path)
        return with_job(waiting(stream, rest, failed), held.row)


def _made(held: Held, taker: T, found: Services, make: Callable[[T], Response]) -> Answer:
    try:
        _has_all(held, taker, found, math.inf)
    except ConnectionAbortedError:  # nobody reads what is answered
        return Answer(b"", {}, 400)
    return Answer.of(make(taker))


def _has_all(held: Held, taker: Taker, found: Services, until: float) -> bool:
    """Whether the taker has all that it needs; False when the time is over."""
    stream = held.stream
    while not (taker.done or stream.cursor.ended):
        if stream.hung_up():
            raise ConnectionAbortedError("the client has hung up")
        if stream.lifetime.closing() is not None:
            raise answer_errors.draining(held.row)
        left = until - time.monotonic()
        if left <= 0:
            return False
        for event in read_events(stream, min(left, found.streams.server.heartbeat_s)):
            taker.take(event)
    if not taker.done:
        raise answer_errors.gone(held.row.id)
    return True


def _failed(found: Services, error_body: ErrorBody, path: str, error: StreamingError) -> Answer:
    if error.status in REFUSALS:
        found.metrics.refused(error.code)
    return Answer.of(error_response(error, error_body, path))
