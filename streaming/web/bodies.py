"""Request bodies: JSON that is whole, sane and within its limit."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator
from typing import Any

from flask import request
from werkzeug.exceptions import ClientDisconnected

from streaming.errors import BadRequest, InvalidInput, TooLarge, TooSlow, UnsupportedMedia
from streaming.watching.hangups import client_socket
from streaming.web.services import services

#: Levels of nesting that a body may have.
MAX_DEPTH = 100


def json_body(*, limit: int, optional: bool = False) -> Any:
    """The parsed body; 413, 415, 400 and 422 as errors. `optional`: an empty body is `{}`."""
    raw = read_body(limit)
    if not raw and optional:
        return {}
    if request.mimetype != "application/json" and not request.mimetype.endswith("+json"):
        raise UnsupportedMedia(
            f"Content-Type is {request.mimetype or 'missing'!r}; send application/json"
        )
    return parse_json(raw)


def read_body(limit: int) -> bytes:
    """The raw body; `TooLarge` over the limit, whether or not its length is declared.

    `TooSlow` when it does not come in its time.
    """
    declared = request.content_length
    if declared is not None and declared > limit:
        raw = b""
    else:
        with in_time(services().settings.body_s):
            raw = request.stream.read(limit + 1)
    if len(raw) > limit or (declared or 0) > limit:
        raise TooLarge(f"the body is over the limit of {limit} bytes (STREAMING_MAX_BODY_BYTES)")
    return raw


@contextlib.contextmanager
def in_time(seconds: float) -> Iterator[None]:
    """Read the body within so many seconds; `TooSlow` when its end has not come then."""
    with services().deadlines.limit(client_socket(request.environ), seconds) as deadline:
        try:
            yield
        except (ClientDisconnected, OSError, EOFError):
            if deadline is None or not deadline.over:
                raise
    if deadline is not None and deadline.over:
        raise TooSlow(f"the body did not come within {seconds:g} s (STREAMING_BODY_S)")


def parse_json(raw: bytes | str) -> Any:
    """JSON (RFC 8259). `BadRequest` says where it is not; `InvalidInput`: lone surrogates."""
    try:
        value = json.loads(raw, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError:
        raise _too_deep() from None
    except (UnicodeDecodeError, json.JSONDecodeError, ValueError) as error:
        raise BadRequest(f"the body is not JSON in UTF-8: {error}", code="malformed_json") from None
    _check(value, "", 0)
    return value


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:40]} is beyond what a number can be")
    return number


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _check(value: Any, path: str, depth: int) -> None:
    """Refuse what UTF-8 cannot carry, and what is nested too deep."""
    if depth > MAX_DEPTH:
        raise _too_deep()
    if isinstance(value, str):
        if not value.isascii():
            _check_text(value, path)
    elif isinstance(value, dict):
        for key, member in value.items():
            _check_text(key, path or "body")
            _check(member, f"{path}.{key}" if path else key, depth + 1)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            _check(member, f"{path}.{index}" if path else str(index), depth + 1)


def _check_text(text: str, path: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        message = f"a lone surrogate at character {error.start} is not Unicode text"
        # The field's own name may hold one.
        field = path.encode(errors="replace").decode() or "body"
        raise InvalidInput.of([(field, message)], code="invalid_text") from None


def _too_deep() -> BadRequest:
    return BadRequest(f"the JSON is nested deeper than {MAX_DEPTH} levels", code="malformed_json")
