"""A model that needs no network: the same text for the same question, at a speed of choice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice

from streaming.concurrency.stop_signal import StopSignal
from streaming.errors import TaskError
from streaming.llm.base import Model, Piece, Prompt, Reasoning
from streaming.llm.prose import cut, write

#: Tokens of an answer for which nobody set a limit and nobody wrote a script.
DEFAULT_TOKENS = 120


class SimulatedModel(Model):
    """Deterministic: prompt, seed and max_tokens decide the text, on every machine.

    It writes about the prompt's words, in its language, or gives its script to the letter. Token n
    comes n / tokens_per_s seconds after the start, so that delays do not add up.
    """

    name = "simulated"
    simulated = True

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock

    def stream(self, prompt: Prompt, stop: StopSignal) -> Iterator[Piece]:
        if prompt.thinking:
            yield Reasoning(prompt.thinking)
        began = self._clock()
        _fail_if_due(prompt, 0)
        for number, piece in enumerate(_answer(prompt), start=1):
            if prompt.tokens_per_s > 0:
                stop.sleep(max(0.0, began + number / prompt.tokens_per_s - self._clock()))
            stop.check()
            yield piece
            _fail_if_due(prompt, number)
        yield from prompt.calls

    def count(self, text: str) -> int:
        """About four bytes of UTF-8 to a token."""
        return -(-len(text.encode("utf-8", "surrogatepass")) // 4)


def _fail_if_due(prompt: Prompt, written: int) -> None:
    if written == prompt.fail_after:
        message = f"the simulated model failed after {written} tokens, as it was asked to"
        raise TaskError(message, code="upstream_error", retryable=True)


def _answer(prompt: Prompt) -> Iterator[str]:
    if prompt.script is not None:
        return islice(cut(prompt.script), prompt.max_tokens)
    limit = DEFAULT_TOKENS if prompt.max_tokens is None else prompt.max_tokens
    return write(_asked(prompt), prompt.seed or 0, limit)


def _asked(prompt: Prompt) -> str:
    """The text of what was said last."""
    content = prompt.conversation()[-1].get("content")
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content)
