"""A model's server over HTTP: one question, one answer, and what breaks between."""

from __future__ import annotations

import contextlib
import json
import ssl
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import urllib3
from urllib3.exceptions import ConnectTimeoutError

from streaming.concurrency.stop_signal import StopSignal
from streaming.errors import TaskError
from streaming.events.event import dumps
from streaming.events.halves import whole
from streaming.events.vocabulary import Json, JsonMapping
from streaming.llm.base import Broken, Ending, Outage, Piece, Reasoning, ToolCallPart
from streaming.llm.body import Body
from streaming.llm.chunks import Answer
from streaming.llm.dialing import Dialer, explain_tls
from streaming.llm.exchange import Exchange
from streaming.llm.failures import failure, retry_after_s
from streaming.llm.question import Manners
from streaming.llm.shapes import parsed

#: Bytes of an error's body that are read, and seconds that it may be silent.
MAX_ERROR_BODY, ERROR_S = 1 << 16, 5.0
#: Seconds in which what stands behind the end of an answer comes: its usage, `[DONE]`.
TAIL_S = 5.0

#: Maximum characters of a token, in the mean, and of a piece that is too large all the same.
_SIZE, _SLACK = 16, 4096

_SIGNS = "signs of life"

#: Characters that a key has at least that is hidden in errors: shorter ones stand in any text.
SHORTEST_KEY = 8

#: What goes wrong with an exchange, by whichever library notices it.
_BROKEN = (urllib3.exceptions.HTTPError, OSError)


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds to wait: for a connection, for the first token, between two pieces.

    And before the second try, longer before each that follows, each with as much jitter; and for
    a server that loads its model. A server that only gives signs of life has `signs` times as long.
    """

    connect_s: float = 10.0
    first_token_s: float = 60.0
    token_s: float = 30.0
    retry_s: float = 0.5
    loading_s: float = 20.0
    signs: int = 10


class Silent(Outage):
    """Raised when nothing has come in time."""


class Unwelcome(Exception):
    """Raised when a server refuses the question as it is put."""

    def __init__(self, status: int, said: Json, error: TaskError) -> None:
        super().__init__(error.detail)
        self.said = said
        self.error = error
        self.is_bad_request = status in (400, 422)


class _Elsewhere(Exception):
    """Raised when another address of the server is to be asked."""


class ModelServer:
    """Shared by all threads."""

    def __init__(
        self,
        base_url: str,
        *,
        key: str,
        patience: Patience,
        think_tags: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dialers = [Dialer(url) for url in endpoints(base_url)]
        self._key = key.strip()
        #: What no error may show. A word that servers without keys are given ("x") is none.
        self._secret = self._key if len(self._key) >= SHORTEST_KEY else ""
        self._patience = patience
        self._think_tags = think_tags
        self._clock = clock

    def reach(self, stop: StopSignal) -> None:
        """`TaskError` when no connection can be made."""
        try:
            with Exchange(self._dialer, clock=self._clock) as line, stop.closing(line.cut):
                line.connect(self._patience.connect_s)
        except _BROKEN as error:
            stop.check()
            raise self._broken(error, 0, began=False) from error
        stop.check()

    def answer(
        self,
        body: JsonMapping,
        limits: tuple[int, int],
        manners: Manners,
        stop: StopSignal,
        *,
        opened: bool = False,
    ) -> Generator[Piece, None, None]:
        """One request, from connecting to the last piece, which is an `Ending`.

        `limits`: tokens of the text at most, and of all else (thinking, calls of tools).
        `opened`: the answer begins within its thinking.
        """
        answer = Answer(think_tags=self._think_tags, opened=opened)
        line = Exchange(self._dialer, clock=self._clock)
        try:
            with line, stop.closing(line.cut):
                self._ask(line, body, manners)
                yield from _capped(self._read(line, answer, stop), *limits)
            stop.check()  # a cut may look like an end
        except _Elsewhere:
            yield from self.answer(body, limits, manners, stop, opened=opened)
        except TaskError as error:
            stop.check()
            raise self._discreet(error) from error.__cause__
        except _BROKEN as error:
            stop.check()  # it was cut by us
            raise self._broken(error, line.status, began=answer.began) from error

    @property
    def _dialer(self) -> Dialer:
        return self._dialers[0]

    def _ask(self, line: Exchange, body: JsonMapping, manners: Manners) -> None:
        """Send the question; `Unwelcome` when the answer is an error."""
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        waits = {"connect_s": self._patience.connect_s, "silence_s": self._patience.first_token_s}
        line.ask(dumps(_encodable(body)), headers, **waits)
        if line.status == 200:
            manners.counts = line.headers.get("server", "").startswith("llama.cpp")
            return
        line.wait_for(min(ERROR_S, self._patience.first_token_s))
        said = b""
        with contextlib.suppress(OSError):
            while len(said) < MAX_ERROR_BODY and (data := line.read()):
                said += data
        if line.status in (404, 405) and len(self._dialers) > 1 and b"model" not in said:
            self._dialers = self._dialers[1:]
            raise _Elsewhere
        if 300 <= line.status < 400 and (place := line.headers.get("location")):
            said = place.partition("?")[0].encode()  # whoever set the address wants to know
        readable = self._readable(said)
        error = failure(line.status, readable, retry_after_s(line.headers))
        raise Unwelcome(line.status, readable, error)

    def _read(self, line: Exchange, answer: Answer, stop: StopSignal) -> Iterator[Piece]:
        """The pieces as they come. Once it has ended, nothing that follows can break the answer."""
        body = Body(answer, self._readable)
        silence_s, since = self._patience.first_token_s, self._clock()
        began = ended = False
        while not body.is_over:
            try:
                data = line.read()
                if not data:
                    break
                stop.check()
                for piece in body.feed(data):
                    since = 0.0
                    yield piece
            except (TaskError, *_BROKEN):
                if answer.finish is None:
                    raise
                break
            if since == 0.0:
                since = line.heard
            elif line.heard - since > self._patience.signs * silence_s:
                raise TimeoutError(_SIGNS)
            if answer.began and not began:
                began, silence_s = True, self._patience.token_s
                line.wait_for(silence_s)
            if answer.finish is not None and not ended:
                ended = True
                line.wait_for(min(TAIL_S, silence_s))
        yield from body.end()

    def _broken(self, error: BaseException, status: int, *, began: bool) -> TaskError:
        """What broke an exchange, before the answer (`status` 0), ahead of it or in its middle."""
        where = f"the model's server at {self._dialer.where}"
        if isinstance(error, ssl.SSLError) and not status:
            return Outage(explain_tls(error, self._dialer.where), code="model_unavailable")
        if isinstance(error, TimeoutError) and not isinstance(error, ConnectTimeoutError):
            signs = str(error) == _SIGNS
            what = (
                "only sent signs of life, and no answer" if signs else "sent nothing for too long"
            )
            if began:
                what = f"{what} in the middle of its answer"
                return Broken(f"{where} has {what}", code="upstream_error", retryable=True)
            return Silent(f"{where} has {what}", code="model_unavailable", retryable=True)
        why = str(error).rpartition(": ")[2] or type(error).__name__
        if status:
            message = f"the connection to {where} broke in the middle of its answer ({why})"
            return Broken(message, code="upstream_error", retryable=True)
        if "Tunnel connection failed" in str(error):
            message = f"the proxy refuses the way to {where} ({why})"
            return TaskError(message, code="model_unavailable")
        message = f"cannot reach {where} ({why})"
        return Outage(message, code="model_unavailable", retryable=True)

    def _discreet(self, error: TaskError) -> TaskError:
        """The error without our key, should the server have quoted it."""
        if self._secret and self._secret in error.detail:
            error.detail = error.detail.replace(self._secret, "…")
            error.args = (error.detail,)
        return error

    def _readable(self, body: bytes) -> Json:
        """An error's body, without our key in it."""
        if self._secret:
            body = body.replace(self._secret.encode("utf-8", "replace"), "…".encode())
        with contextlib.suppress(ValueError):
            return parsed(body)
        return whole(body.decode("utf-8", "replace"))


def endpoints(base_url: str) -> list[str]:
    """Where questions may go: the likeliest first. A query of the address is kept.

    Without a path it is `/v1`, which nearly all servers have.
    """
    parts = urlsplit(base_url.strip())
    path = parts.path.rstrip("/")
    for ending in ("/chat/completions", "/completions", "/models"):
        path = path.removesuffix(ending)
    paths = [path] if path else ["/v1", ""]
    return [
        urlunsplit(parts._replace(path=f"{path.rstrip('/')}/chat/completions", fragment=""))
        for path in paths
    ]


def _capped(pieces: Iterator[Piece], limit: int, cap: int) -> Iterator[Piece]:
    """The pieces up to the limits, which some servers do not keep to.

    A piece may be a character, and less than a token: then only size tells. Thinking may not count
    for a server, so that it has a cap of its own.
    """
    count = size = others = other_size = 0
    other_limit = max(limit, cap)
    for piece in pieces:
        over = False
        if type(piece) is str:
            over = size > _SIZE * limit + _SLACK
            count += 1
            size += len(piece) if piece.isascii() else 3 * len(piece)
            over = over or count > limit and (2 * size > 3 * count or size > 4 * limit)
        elif isinstance(piece, (Reasoning, ToolCallPart)):
            others += 1
            over = others > other_limit or other_size > _SIZE * other_limit + _SLACK
            other_size += len(piece.text if isinstance(piece, Reasoning) else piece.arguments)
        if over:
            yield Ending("length", cut=True)
            return
        yield piece


def _encodable(body: JsonMapping) -> JsonMapping:
    """The question as UTF-8 can carry it: what people paste may have halves of characters."""
    try:
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        made: JsonMapping = json.loads(whole(json.dumps(body, ensure_ascii=False)))
        return made
    return body
