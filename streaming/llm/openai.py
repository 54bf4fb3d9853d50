"""Models behind an OpenAI-compatible server: OpenAI, vLLM, Ollama, llama.cpp, LiteLLM."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence

import tenacity
from circuitbreaker import CircuitBreaker

from streaming.concurrency.platform import native_lock
from streaming.concurrency.stop_signal import StopSignal
from streaming.errors import TaskError
from streaming.llm.base import (
    Answering,
    Broken,
    CannotContinue,
    Ending,
    Model,
    Outage,
    Piece,
    Prompt,
)
from streaming.llm.failures import is_loading
from streaming.llm.question import EVERY, Manners
from streaming.llm.server import ModelServer, Patience, Silent, Unwelcome

#: Tries at one model before the first token.
TRIES = 3
#: Seconds that a server may ask us to wait (Retry-After) before we rather fail.
MAX_RETRY_AFTER_S = 30.0
#: Seconds for which a server that loads its model is asked again, and between two tries.
LOADING_S, LOADING_PAUSE_S = 20.0, 2.0
#: Requests in a row that found the server ill, after which a model is left alone; seconds of that.
BREAK_AFTER, BREAK_S = 5, 30
#: Tokens that an answer is expected to have before one was seen.
EXPECTED = 300

#: What is had with a server where nothing else is said.
PATIENCE = Patience()

#: Failures that say nothing about another model; after all others the next one is asked.
_OWN_FAULT = ("context_too_long", "content_filtered")


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
        patience: Patience = PATIENCE,
        answer_tokens: int = 4096,
        step_tokens: int = 2048,
        think_tags: bool = True,
        thinks_first: Collection[str] = (),
        omit: Mapping[str, frozenset[str]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`answer_tokens` and `step_tokens` are the caps of prompts that name none.

        Answers of the models `thinks_first` (`*`: of all) begin within their thinking.
        """
        self.name = names[0]
        self._names = tuple(names)
        self._patience = patience
        self._caps = (answer_tokens, step_tokens)
        self._server = ModelServer(
            base_url, key=key, patience=patience, think_tags=think_tags, clock=clock
        )
        self._thinks_first = thinks_first
        self._lock = native_lock()
        self._breakers = {name: _breaker(name) for name in names}
        never = omit or {}
        self._manners = {
            name: Manners(never.get(name, frozenset()) | never.get(EVERY, frozenset()))
            for name in names
        }
        #: Pieces of answers, a mean in which newer ones count more.
        self._mean = float(EXPECTED)

    def stream(self, prompt: Prompt, stop: StopSignal) -> Iterator[Piece]:
        name, first, answer = self._first(prompt, stop)
        written = 0
        try:
            yield Answering(name, degraded=name != (prompt.model or self.name))
            yield first
            for piece in answer:
                written += 1
                if isinstance(piece, Ending) and piece.reason == "stop" and not prompt.is_step:
                    self._mean += (written - self._mean) / 4
                yield piece
        except TaskError as error:
            self._tell(name, error)
            raise
        finally:
            answer.close()
        self._tell(name, None)

    def count(self, text: str) -> int:
        """About four bytes of UTF-8 to a token; the server's own count replaces it."""
        return -(-len(text.encode("utf-8", "surrogatepass")) // 4)

    def expected(self, prompt: Prompt) -> int:
        """As long as the answers before it were, and no longer than it may be."""
        return max(1, min(round(self._mean), self.limit(prompt)))

    def check(self, stop: StopSignal) -> None:
        """Whether a model's breaker is closed and the server takes connections."""
        if all(breaker.opened for breaker in self._breakers.values()):
            raise _left_alone(self._breakers[self.name])
        self._retrying(stop)(self._server.reach, stop)

    def _asked(self, prompt: Prompt) -> Sequence[str]:
        """The models that may answer, the one that is wanted first."""
        if not prompt.model:
            return self._names
        if prompt.model not in self._names:
            message = f"there is no model {prompt.model[:80]!r} any more"
            raise TaskError(message, code="model_unavailable")
        return (prompt.model,)

    def limit(self, prompt: Prompt) -> int:
        """The most tokens that an answer may have."""
        asked = [prompt.extra.get(name) for name in ("max_completion_tokens", "max_tokens")]
        named = next((int(n) for n in asked if isinstance(n, int) and n > 0), prompt.max_tokens)
        return named if named is not None else self._caps[prompt.is_step]

    def _first(
        self, prompt: Prompt, stop: StopSignal
    ) -> tuple[str, Piece, Generator[Piece, None, None]]:
        """Which model answers, and its answer, whose first piece has come."""
        failed: TaskError | None = None
        until = None if prompt.wait_s is None else time.monotonic() + prompt.wait_s
        for name in self._asked(prompt):
            if self._breakers[name].opened:
                failed = failed or _left_alone(self._breakers[name])
                continue
            try:
                retrying = self._retrying(stop, patient=bool(prompt.so_far), until=until)
                return name, *retrying(self._begin, name, prompt, stop)
            except TaskError as error:
                self._tell(name, error)
                if error.code in _OWN_FAULT or isinstance(error, CannotContinue):
                    raise
                failed = failed or error
        raise failed or TaskError("there is no model", code="model_unavailable")

    def _begin(
        self, name: str, prompt: Prompt, stop: StopSignal
    ) -> tuple[Piece, Generator[Piece, None, None]]:
        """An answer whose first piece has come, put without what the model refuses."""
        manners = self._manners[name]
        # Where an answer goes on behind words of its own, it has been thought about.
        opened = not prompt.so_far and any(each in self._thinks_first for each in (name, EVERY))
        without: list[str] = []
        while True:
            body = manners.body(name, prompt, self.limit(prompt), without=without)
            limits = (self.limit(prompt), max(self._caps))
            answer = self._server.answer(body, limits, manners, stop, opened=opened)
            try:
                return next(answer), answer
            except Unwelcome as refusal:
                if prompt.so_far and refusal.is_bad_request:
                    message = f"the model's server cannot go on with an answer ({refusal})"
                    raise CannotContinue(message, code="upstream_error") from refusal
                refused = manners.refused(body, prompt, refusal.said)
                if refused is None or refused in without:
                    raise refusal.error from refusal
                without += [refused] if refused else []
            except TaskError as error:  # a 400 in a stream that had begun well
                if error.code != "upstream_error" or isinstance(error, Outage):
                    raise
                refused = manners.refused(body, prompt, error.detail)
                if refused is None or refused in without:
                    raise
                without += [refused] if refused else []

    def _retrying(
        self, stop: StopSignal, *, patient: bool = False, until: float | None = None
    ) -> tenacity.Retrying:
        """`patient`: a server that cannot be reached may have been restarted, and loads.

        `until`: when the last try begins, of those that need no patience; see `Prompt.wait_s`.
        """
        first_s = self._patience.retry_s
        backoff = tenacity.wait_exponential_jitter(multiplier=first_s, jitter=first_s)

        def rest_s() -> float:
            return math.inf if until is None else until - time.monotonic()

        def wait(state: tenacity.RetryCallState) -> float:
            if _loads(state, patient):
                pause_s = min(backoff(state), LOADING_PAUSE_S)
            else:
                share_s = max(0.0, rest_s()) / max(1, TRIES - state.attempt_number)
                pause_s = min(backoff(state), MAX_RETRY_AFTER_S, share_s)
            return max(_asked_s(state), pause_s)

        def is_enough(state: tenacity.RetryCallState) -> bool:
            if _asked_s(state) > max(0.0, rest_s()):
                return True
            if _loads(state, patient):
                return (state.seconds_since_start or 0.0) >= self._patience.loading_s
            return state.attempt_number >= TRIES or rest_s() <= 0

        return tenacity.Retrying(
            stop=is_enough,
            wait=wait,
            retry=tenacity.retry_if_exception(_is_passing),
            sleep=stop.sleep,
            reraise=True,
        )

    def _tell(self, name: str, error: TaskError | None) -> None:
        """Count what a request says about the server: that it was ill, or well.

        What a server refuses because of the question says neither.
        """
        if isinstance(error, CannotContinue) or not isinstance(error, (Outage, type(None))):
            return
        with self._lock:
            try:
                with self._breakers[name]:
                    if error is not None:
                        raise error
            except TaskError:
                return


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


def _failure_of(state: tenacity.RetryCallState) -> TaskError | None:
    error = state.outcome.exception() if state.outcome else None
    return error if isinstance(error, TaskError) else None


def _loads(state: tenacity.RetryCallState, patient: bool) -> bool:
    error = _failure_of(state)
    if patient and isinstance(error, Outage) and "upstream_status" not in error.extra:
        return True
    return error is not None and is_loading(error)


def _is_passing(error: BaseException) -> bool:
    """Whether another try is worth its time: a long silence was long enough.

    An answer that had begun is not asked for again: it is being paid for.
    """
    if not isinstance(error, TaskError) or not error.retryable:
        return False
    if isinstance(error, (Silent, Broken)):
        return False
    if "upstream_status" not in error.extra:  # an error in a stream, or no connection
        return isinstance(error, Outage)
    return float(error.extra.get("retry_after_s", 0)) <= MAX_RETRY_AFTER_S


def _asked_s(state: tenacity.RetryCallState) -> float:
    """Seconds that the server asks us to wait."""
    error = _failure_of(state)
    return float(error.extra.get("retry_after_s", 0)) if error is not None else 0.0
