"""Request bodies: JSON that is whole, sane and within its limit."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from flask import request

from streaming.errors import (
    BadRequest,
    InvalidInput,
    TooLarge,
    TooSlow,
    UnsupportedMedia,
)
from streaming.events.vocabulary import Json
from streaming.watching.hangups import client_socket
from streaming.web.deadlines import Deadline
from streaming.web.services import services

if TYPE_CHECKING:
    from _typeshed.wsgi import InputStream

#: Bytes per second that a body must have once its first time is over, and bytes read at a time.
SLOWEST, PIECE = 4 << 10, 16 << 10
#: Levels of nesting that a body may have.
MAX_DEPTH = 100


def json_body(*, limit: int, optional: bool = False) -> Json:
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
    raw = bytearray()
    if declared is None or declared <= limit:
        with in_time():
            # What the app has read before us, to check a signature for example, is kept there.
            source = request._get_stream_for_parsing()  # noqa: SLF001 - as its parsers of forms do
            while len(raw) <= limit and (piece := source.read(limit + 1 - len(raw))):
                raw += piece
    if len(raw) > limit or (declared or 0) > limit:
        raise TooLarge(f"the body is over the limit of {limit} bytes (STREAMING_MAX_BODY_BYTES)")
    return bytes(raw)


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    """Read the body with patience for what keeps coming.

    It has STREAMING_BODY_S seconds, and a second more for every `SLOWEST` bytes that have come;
    `TooSlow` when its end has not come by then. `Unavailable` where slow bodies hold all the
    threads that they may have. `BadRequest` for chunks that are none (RFC 9112, 7.1).
    """
    found, seconds = services(), services().settings.body_s
    with (
        found.body_places.taken(),
        found.deadlines.limit(client_socket(request.environ), seconds) as deadline,
    ):
        counted, ended = _watch_what_comes(deadline), True
        try:
            yield
        except Exception as error:
            if deadline is None or not deadline.over:
                if not _is_malformed(error):
                    raise
                raise BadRequest(f"the body is not as its framing says: {error}") from error
            ended = False
    # What had come by then can still be read, and may be all of it.
    if deadline is not None and deadline.over and not (ended and counted and counted.whole):
        raise TooSlow(
            f"the body did not come in time: {seconds:g} s (STREAMING_BODY_S), and a second more "
            f"for every {SLOWEST} bytes"
        )


class _Counted:
    """What the server reads a body from: each piece that comes gives the rest more time."""

    def __init__(self, source: InputStream, deadline: Deadline) -> None:
        self._source = source
        self._deadline = deadline
        self._length = request.content_length
        self._count = 0

    @property
    def whole(self) -> bool:
        """Whether all has come that was announced; chunks announce their end themselves."""
        return self._length is None or self._count >= self._length

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._source.read(PIECE if size < 0 or size > PIECE else size)
        return self._note(data)

    def readinto(self, buffer: memoryview) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readline(self, size: int = -1) -> bytes:
        line: bytes = self._source.readline(size)
        return self._note(line)

    def _note(self, data: bytes) -> bytes:
        self._count += len(data)
        self._deadline.extend(len(data) / SLOWEST)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)


def _watch_what_comes(deadline: Deadline | None) -> _Counted | None:
    """Before anybody reads: werkzeug takes what stands in the environment then."""
    if deadline is None:
        return None
    environ = request.environ
    environ["wsgi.input"] = counted = _Counted(environ["wsgi.input"], deadline)
    return counted


def _is_malformed(error: Exception) -> bool:
    """Whether gunicorn could not take the body apart, or it ends early."""
    errors = sys.modules.get("gunicorn.http.errors")
    return errors is not None and isinstance(error, errors.ParseException | errors.NoMoreData)


def parse_json(raw: bytes | str) -> Json:
    """JSON (RFC 8259). `BadRequest` says where it is not; `InvalidInput`: lone surrogates."""
    value = read_json(raw)
    check_json(value)
    return value


def read_json(raw: bytes | str) -> Json:
    """JSON whose texts and depth are still to be checked, by `check_json`."""
    try:
        text = raw.decode("utf-8-sig") if isinstance(raw, bytes) else raw
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError:
        raise _too_deep() from None
    except (UnicodeDecodeError, json.JSONDecodeError, ValueError) as error:
        raise BadRequest(f"the body is not JSON in UTF-8: {error}", code="malformed_json") from None


def check_json(value: Json) -> None:
    """Refuse what UTF-8 cannot carry, and what is nested too deep."""
    _check(value, "", 0)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:40]} is beyond what a number can be")
    return number


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _check(value: Json, path: str, depth: int) -> None:
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
