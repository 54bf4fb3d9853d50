"""Answers that wait: made when the server asks for the body, after Flask's context is gone.

A request that waits within its context holds what the app has opened for it: the database
connection that `authorize` used, as long as the wait lasts. WSGI lets a body call `start_response`
as late as its first piece, so the status may depend on what was waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple, Self

from flask import Response, current_app, request
from werkzeug.http import HTTP_STATUS_CODES

from streaming.errors import StreamingError
from streaming.events.event import dumps
from streaming.events.problem import problem
from streaming.watching.stream import Stream

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

#: What stands for the answer's type until it is made: hooks of the app may look at it.
_UNKNOWN = "application/octet-stream"


class Answer(NamedTuple):
    """What an answer says that is made late; its headers replace those of the response."""

    body: bytes
    headers: Mapping[str, str]
    status: int = 200

    @classmethod
    def of(cls, response: Response) -> Self:
        """What a response says."""
        return cls(response.get_data(), dict(response.headers), response.status_code)


class WaitingResponse(Response):
    """A response whose status, body and some headers are made after the context is gone.

    `make` must not use the request, the app or `g`; `failed` makes an answer of a `StreamingError`
    that it raises. `close`, which may be called twice, is called even if no body is asked for.
    """

    def wait(
        self,
        make: Callable[[], Answer],
        close: Callable[[], object],
        failed: Callable[[StreamingError], Answer],
    ) -> None:
        """Set what is to be made. A hook that makes a response of its own has at least the body."""
        self.response = self._body()
        self.headers.pop("Content-Length", None)
        self.headers["Content-Type"] = _UNKNOWN
        # Nobody may read it before it is there: Flask-Compress and the like let it pass.
        self.direct_passthrough = True
        self._make = make
        self._failed = failed
        self._head = request.method == "HEAD"
        self._over = close
        self.call_on_close(close)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ.pop("werkzeug.request", None)
        return _Body(self, start_response)

    def pieces(self, start_response: StartResponse) -> Iterator[bytes]:
        """Wait, then answer."""
        body, own, status = self._made()
        own = {**own, "Content-Length": str(len(body))}
        replaced = {name.lower() for name in own}
        headers = [each for each in self.headers.to_wsgi_list() if each[0].lower() not in replaced]
        start_response(f"{status} {_reason(status)}", [*headers, *own.items()])
        if not self._head:
            yield body

    def _body(self) -> Iterator[bytes]:
        yield self._made().body

    def _made(self) -> Answer:
        try:
            return self._make()
        except StreamingError as error:
            return self._failed(error)
        finally:
            self._over()  # what waits no longer holds no slot while its answer is sent


class _Body:
    __slots__ = ("_pieces", "close")

    def __init__(self, response: WaitingResponse, start_response: StartResponse) -> None:
        self._pieces = response.pieces(start_response)
        #: Called by the server, also when the body was never asked for.
        self.close = response.close

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces


def waiting(
    stream: Stream,
    make: Callable[[], Answer],
    failed: Callable[[StreamingError], Answer] | None = None,
) -> WaitingResponse:
    """The answer that `make` gives once it has waited on the stream; the stream ends with it.

    `failed` makes one of a `StreamingError`; else it is a problem.
    """
    with stream.set_up():
        response = _kind(current_app.response_class)()  # type: ignore[arg-type]
        response.wait(make, stream.close, failed or partial(_problem, request.path))
        return response


def _problem(path: str, error: StreamingError) -> Answer:
    body = dumps(problem(error, instance=path))
    return Answer(body, {"Content-Type": "application/problem+json"}, error.status)


@cache
def _kind(own: type[Response]) -> type[WaitingResponse]:
    """One that is of the app's own class, too: Flask makes any other one over into that."""
    return type("WaitingResponse", (WaitingResponse, own), {})


def _reason(status: int) -> str:
    return HTTP_STATUS_CODES.get(status, "Unknown")
