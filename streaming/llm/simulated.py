"""A model that needs no network: the same text for the same question, at a speed of choice."""

from __future__ import annotations

import hashlib
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count, islice

from streaming.concurrency.stop_signal import StopSignal
from streaming.errors import TaskError
from streaming.llm.base import Model, Piece, Prompt, Reasoning

#: Tokens of an answer for which nobody set a limit and nobody wrote a script.
DEFAULT_TOKENS = 120

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
#: Space with what follows it: one or two CJK characters, a word, or a run of other signs.
#: Every character is in one of the classes, and each run is bounded, so that every text is cut.
_PIECE = re.compile(rf"\s{{0,8}}(?:[{_CJK}]{{1,2}}|[^\W{_CJK}]{{1,24}}|[^\w\s]{{1,16}})|\s{{1,8}}")


class SimulatedModel(Model):
    """Deterministic: prompt, seed and max_tokens decide the text, on every machine.

    It writes English, Chinese and emoji, or the prompt's script to the letter. Token n comes
    n / tokens_per_s seconds after the start, so that delays do not add up.
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
    return islice((piece for part in _prose(prompt) for piece in cut(part)), limit)


def cut(text: str) -> Iterator[str]:
    """The text in word-like pieces; joined, they are the text."""
    return (match.group() for match in _PIECE.finditer(text))


def _prose(prompt: Prompt) -> Iterator[str]:
    """Sentences without end. Every third is Chinese, and a paragraph has six."""
    text = str(prompt.conversation()[-1].get("content"))
    key = f"{prompt.seed or 0}\0{text}".encode("utf-8", "surrogatepass")
    dice = random.Random(int.from_bytes(hashlib.sha256(key).digest()))

    def pick(choices: Sequence[str]) -> str:
        # Only random() is promised to give the same sequence in every version of Python.
        return choices[int(dice.random() * len(choices))]

    for number in count():
        gap = "" if number == 0 else "\n\n" if number % 6 == 0 else " "
        if number % 3 == 1:
            yield f"{gap}{pick(_ZH_OPENINGS)}{pick(_ZH_SUBJECTS)}{pick(_ZH_ENDS)}"
        else:
            yield f"{gap}{pick(_OPENINGS)} {pick(_SUBJECTS)} {pick(_VERBS)} {pick(_OBJECTS)}."
        if number % 2 == 0:
            yield f" {pick(_EMOJI)}"


_OPENINGS = (
    "In practice,", "At first sight,", "Over the last quarter,", "As far as the data goes,",
    "Seen from a distance,", "On closer inspection,", "For most teams,", "After a slow start,",
)  # fmt: skip
_SUBJECTS = (
    "the first draft", "a careful reader", "the new process", "every second measurement",
    "the café's naïve forecast", "a well-kept log", "the night shift", "the quiet majority",
)  # fmt: skip
_VERBS = (
    "confirms", "does not explain", "slowly changes", "stands and falls with", "makes room for",
    "depends on", "says little about", "benefits from",
)  # fmt: skip
_OBJECTS = (
    "the pattern that we saw before", "a small but steady improvement", "what people really need",
    "the cost of waiting", "the trade-off of speed and care", "an assumption nobody wrote down",
    "the part that is easy to overlook", "three simple questions",
)  # fmt: skip
_ZH_OPENINGS = ("总的来说，", "从数据上看，", "与此同时，", "不过，", "换句话说，", "到目前为止，")
_ZH_SUBJECTS = ("这项工作", "最新的结果", "用户的反馈", "每一次更新", "稳定的流程", "长期的趋势")
_ZH_ENDS = (
    "比预期更可靠。", "仍然需要时间来验证。", "正在逐步改善。", "值得继续观察。",
    "给了我们新的思路。", "和之前的判断一致。",
)  # fmt: skip
#: Among them some of several code points: joined, with a skin tone, a flag, with a variation.
_EMOJI = ("🚀", "📈", "✅", "🎉", "👩‍💻", "👨‍👩‍👧‍👦", "👍🏽", "🇩🇪", "❤️", "🏳️‍🌈")
