"""Models behind an OpenAI-compatible server: OpenAI, vLLM, Ollama, llama.cpp, LiteLLM."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import requests
import tenacity
import urllib3
from circuitbreaker import CircuitBreaker

from streaming.concurrency.platform import native_lock
from streaming.concurrency.stop_signal import StopSignal
from streaming.errors import TaskError
from streaming.events.vocabulary import Json
from streaming.llm.base import Answering, Model, Piece, Prompt
from streaming.llm.chunks import failure, frames, pieces
from streaming.llm.exchange import Line

#: Tries at one model before the first token.
TRIES = 3
#: Seconds that a server may ask us to wait (Retry-After) before we rather fail.
MAX_RETRY_AFTER_S = 30.0
#: Failures in a row after which a model is left alone, and for how many seconds.
BREAK_AFTER, BREAK_S = 5, 30
#: Seconds for which a check counts, and that one may take.
CHECKED_S, CHECK_TIMEOUT_S = 10.0, 5.0
#: Bytes of an error's body that are read.
MAX_ERROR_BODY = 1 << 16

#: Failures that say nothing about another model; after all others the next one is asked.
_OWN_FAULT = ("context_too_long", "content_filtered")
#: What goes wrong with an exchange, by whichever library notices it.
_BROKEN = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds to wait: for a connection, for the first token, between two pieces.

    And before the second try, longer before each that follows, each with as much jitter.
    """

    connect_s: float = 10.0
    first_token_s: float = 60.0
    token_s: float = 30.0
    retry_s: float = 0.5


class OpenAIModel(Model):
    """Asks the first of its models that is well; what another one answers is degraded.

    It tries again only before the first token: after it, the text would start over.
    """

    def __init__(
        self,
        base_url: str,
        names: Sequence[str],
        *,
        key: str = "",
        patience: Patience = Patience(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = names[0]
        self._names = tuple(names)
        self._base_url = base_url.rstrip("/")
        self._key = key
        self._patience = patience
        self._clock = clock
        self._lock = native_lock()
        self._breakers = {name: _breaker(name) for name in names}
        self._checked_at: float | None = None

    def stream(self, prompt: Prompt, stop: StopSignal) -> Iterator[Piece]:
        failed: TaskError | None = None
        for name in self._asked(prompt):
            if self._breakers[name].opened:
                failed = failed or _left_alone(self._breakers[name])
                continue
            try:
                answer = self._retrying(stop)(self._try, name, prompt, stop)
            except TaskError as error:
                if error.code in _OWN_FAULT:
                    raise
                failed = failed or error
                continue
            yield Answering(name, degraded=name != self.name)
            yield from answer
            return
        raise failed or TaskError("there is no model", code="model_unavailable")

    def _asked(self, prompt: Prompt) -> Sequence[str]:
        """The models that may answer: all in their order, or the one that is asked by name."""
        name = prompt.extra.get("model")
        return (name,) if isinstance(name, str) and name in self._breakers else self._names

    def count(self, text: str) -> int:
        """About four bytes of UTF-8 to a token; the server's own count replaces it."""
        return -(-len(text.encode("utf-8", "surrogatepass")) // 4)

    def check(self, stop: StopSignal) -> None:
        """Whether a model's breaker is closed and the server answers; a good answer counts on."""
        if all(breaker.opened for breaker in self._breakers.values()):
            raise _left_alone(self._breakers[self.name])
        if self._checked_at is not None and self._clock() < self._checked_at + CHECKED_S:
            return
        self._retrying(stop)(self._look, stop)
        self._checked_at = self._clock()

    def _look(self, stop: StopSignal) -> None:
        timeout = (min(CHECK_TIMEOUT_S, self._patience.connect_s), CHECK_TIMEOUT_S)
        with self._line(stop) as line:
            response = line.request(
                "GET", f"{self._base_url}/models", timeout=timeout, **self._auth
            )
            if response.status_code in (401, 403) or response.status_code >= 500:
                raise failure(response.status_code, {})

    def _try(self, name: str, prompt: Prompt, stop: StopSignal) -> Iterator[Piece]:
        """An answer whose first piece has come."""
        answer = self._exchange(name, prompt, stop)
        try:
            first = next(answer, "")
        except TaskError as error:
            self._tell(name, None if error.code in _OWN_FAULT else error)
            raise
        return self._rest(name, first, answer)

    def _rest(
        self, name: str, first: Piece, answer: Generator[Piece, None, None]
    ) -> Iterator[Piece]:
        try:
            yield first
            yield from answer
        except TaskError as error:
            self._tell(name, error)
            raise _in_the_middle(error) from error
        finally:
            answer.close()
        self._tell(name, None)

    def _exchange(
        self, name: str, prompt: Prompt, stop: StopSignal
    ) -> Generator[Piece, None, None]:
        """One request, from connecting to the last piece."""
        until = self._clock() + self._patience.first_token_s
        began = False

        def chunks() -> Iterator[bytes]:
            while data := line.read(self._patience.token_s if began else until - self._clock()):
                stop.check()
                yield data
                if not began and self._clock() > until:  # it sends, but nothing of the answer
                    raise TimeoutError

        with self._line(stop) as line:
            self._ask(line, name, prompt)
            for piece in pieces(frames(chunks())):
                began = True
                yield piece
            stop.check()  # a cut may look like an end

    def _ask(self, line: Line, name: str, prompt: Prompt) -> None:
        """Send the question; `TaskError` when the answer is an error."""
        response = line.request(
            "POST",
            f"{self._base_url}/chat/completions",
            timeout=(self._patience.connect_s, self._patience.first_token_s),
            json=_body(name, prompt),
            **self._auth,
        )
        if response.status_code == 200:
            return
        body = line.read(CHECK_TIMEOUT_S)[:MAX_ERROR_BODY]
        raise failure(response.status_code, self._readable(body), _retry_after_s(response))

    @contextlib.contextmanager
    def _line(self, stop: StopSignal) -> Iterator[Line]:
        """A line that ends with the job; what breaks it is a `TaskError`."""
        try:
            with Line() as line, stop.closing(line.cut):
                yield line
        except _BROKEN as error:
            stop.check()  # it was cut by us
            raise self._broken(error) from error

    def _broken(self, error: BaseException) -> TaskError:
        kind = type(error).__name__
        if isinstance(error, _LATE):
            message = f"the model's server at {self._where()} has sent nothing for too long"
            return _Silent(message, code="model_unavailable", retryable=True)
        if isinstance(error, requests.ConnectionError):
            message = f"cannot reach the model's server at {self._where()} ({kind})"
            return TaskError(message, code="model_unavailable", retryable=True)
        message = f"the connection to the model's server broke ({kind})"
        return TaskError(message, code="upstream_error", retryable=True)

    def _retrying(self, stop: StopSignal) -> tenacity.Retrying:
        first_s = self._patience.retry_s
        backoff = tenacity.wait_exponential_jitter(multiplier=first_s, jitter=first_s)
        return tenacity.Retrying(
            stop=tenacity.stop_after_attempt(TRIES),
            wait=lambda state: max(_asked_s(state), backoff(state)),
            retry=tenacity.retry_if_exception(_is_passing),
            sleep=stop.sleep,
            reraise=True,
        )

    def _where(self) -> str:
        parts = urllib3.util.parse_url(self._base_url)
        return f"{parts.host}:{parts.port}" if parts.port else str(parts.host)

    def _readable(self, body: bytes) -> Json:
        """An error's body, without our key in it."""
        text = body.decode("utf-8", "replace")
        text = text.replace(self._key, "…") if self._key else text
        with contextlib.suppress(ValueError):
            return json.loads(text)
        return text

    def _tell(self, name: str, error: TaskError | None) -> None:
        """Count a success or a failure of a model."""
        with self._lock, contextlib.suppress(TaskError), self._breakers[name]:
            if error is not None:
                raise error

    @property
    def _auth(self) -> dict[str, Any]:
        # As `auth`, because a header of ours would give way to one from ~/.netrc.
        return {"auth": self._sign, "headers": {"Accept-Encoding": "identity"}}

    def _sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request


class _Silent(TaskError):
    """Nothing has come in time."""


_LATE = (requests.ReadTimeout, urllib3.exceptions.ReadTimeoutError, TimeoutError)


def _breaker(name: str) -> CircuitBreaker:
    return CircuitBreaker(
        failure_threshold=BREAK_AFTER,
        recovery_timeout=BREAK_S,
        expected_exception=TaskError,
        name=name,
    )


def _left_alone(breaker: CircuitBreaker) -> TaskError:
    rest_s = max(1, round(breaker.open_remaining))
    message = f"the model {breaker.name} failed {BREAK_AFTER} times in a row and is left alone"
    return TaskError(message, code="model_unavailable", retryable=True, retry_after_s=rest_s)


def _body(name: str, prompt: Prompt) -> dict[str, Json]:
    body: dict[str, Json] = {
        "model": name,
        "messages": prompt.conversation(),
        "stream": True,
        "stream_options": {"include_usage": True},
        "seed": prompt.seed or 0,
    }
    if prompt.max_tokens is not None:
        body["max_tokens"] = prompt.max_tokens
    if prompt.tools:
        body["tools"] = list(prompt.tools)
    return body | dict(prompt.extra) | {"stream": True}


def _in_the_middle(error: TaskError) -> TaskError:
    """A model that has begun to answer was there."""
    if error.code != "model_unavailable":
        return error
    return TaskError(error.detail, code="upstream_error", retryable=error.retryable)


def _is_passing(error: BaseException) -> bool:
    """Whether another try is worth its time: a long silence was long enough."""
    if not isinstance(error, TaskError) or not error.retryable or isinstance(error, _Silent):
        return False
    return float(error.extra.get("retry_after_s", 0)) <= MAX_RETRY_AFTER_S


def _asked_s(state: tenacity.RetryCallState) -> float:
    """Seconds that the server asks us to wait."""
    error = state.outcome.exception() if state.outcome else None
    return float(error.extra.get("retry_after_s", 0)) if isinstance(error, TaskError) else 0.0


def _retry_after_s(response: requests.Response) -> float | None:
    """Seconds of `Retry-After`; a date, which hardly any server sends, counts as none."""
    with contextlib.suppress(ValueError):
        return max(0.0, float(response.headers.get("Retry-After", "")))
    return None
