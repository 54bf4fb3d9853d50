from __future__ import annotations

import hashlib
import re
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, strategies as st

from streaming.concurrency.locks import Latch
from streaming.concurrency.stop_signal import StopSignal
from streaming.concurrency.threads import Thread
from streaming.errors import Cancelled, TaskError, TimedOut
from streaming.llm.base import Prompt
from streaming.llm.simulated import DEFAULT_TOKENS, SimulatedModel, cut


class HandMoved(StopSignal):
    """A stop whose sleep moves a clock."""

    now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.check()


def pieces(text: str = "hello", **options: Any) -> list[str]:
    prompt = Prompt(text, **{"tokens_per_s": 0, **options})
    return list(SimulatedModel().stream(prompt, StopSignal()))


def test_the_same_question_has_the_same_answer() -> None:
    assert pieces(seed=7, max_tokens=300) == pieces(seed=7, max_tokens=300)


def test_the_answer_is_the_same_on_every_machine_and_python() -> None:
    text = "".join(pieces("Tell me about tides", seed=3, max_tokens=500))

    digest = hashlib.sha256(text.encode()).hexdigest()
    assert digest == "aa3fb8ce99ab4201a696ca0cc0da1b4d5ee35d0c38f7825a9ed059c700c35b42"


@pytest.mark.parametrize("other", [{"seed": 8}, {"text": "Hello"}, {"max_tokens": 299}])
def test_another_prompt_seed_or_length_has_another_answer(other: dict[str, Any]) -> None:
    question: dict[str, Any] = {"text": "hello", "seed": 7, "max_tokens": 300}

    assert pieces(**{**question, **other}) != pieces(**question)


def test_max_tokens_is_the_number_of_pieces() -> None:
    assert [len(pieces(max_tokens=limit)) for limit in (1, 2, 120, 50_000)] == [1, 2, 120, 50_000]


def test_without_a_limit_an_answer_has_a_usual_length() -> None:
    assert len(pieces()) == DEFAULT_TOKENS


@pytest.mark.parametrize("seed", range(5))
def test_a_usual_answer_has_an_emoji(seed: int) -> None:
    text = "".join(pieces(seed=seed))

    assert any(ord(char) >= 0x2600 and not "\u3000" <= char <= "\uffff" for char in text)


@pytest.mark.parametrize(
    ("prompt", "words", "script"),
    [
        ("Why do tides come and go?", ["tides", "come"], "[a-z]"),
        ("请写一首关于潮汐的诗", ["潮汐"], "[\u4e00-\u9fff]"),
        ("Почему небо голубое?", ["небо", "голубое"], "[\u0400-\u04ff]"),
        ("空はなぜ青いのですか", ["空はなぜ青いのですか"], "[\u3040-\u30ff]"),
    ],
)
def test_an_answer_is_about_the_prompts_words_in_its_language(
    prompt: str, words: list[str], script: str
) -> None:
    text = "".join(pieces(prompt))

    assert any(word in text for word in words)
    letters = [char for char in text if char.isalpha()]
    others = [char for char in letters if not re.match(script, char, re.IGNORECASE)]
    assert len(others) < len(letters) / 2


@given(st.text(max_size=60), st.integers(2, 300))
def test_an_answer_ends_where_a_sentence_ends_at_any_length(prompt: str, limit: int) -> None:
    given = pieces(prompt, max_tokens=limit)

    assert len(given) == limit
    assert given[-1].rstrip()[-1] in ".。?…·" or not given[-1].isalnum()


def test_a_long_answer_has_emoji_of_several_code_points() -> None:
    text = "".join(pieces(max_tokens=2000))

    assert "\N{ZERO WIDTH JOINER}" in text
    assert "\N{EMOJI MODIFIER FITZPATRICK TYPE-4}" in text


def test_a_script_comes_to_the_letter_and_in_small_pieces() -> None:
    script = "Umsatz: 1,234.5 € (+3 %)\r\n\r\n营业收入增长了百分之三。👩‍💻 done\n"

    given = pieces(script=script)

    assert "".join(given) == script
    assert len(given) == 20
    assert max(map(len, given)) <= 8


def test_max_tokens_cuts_a_script() -> None:
    assert pieces(script="one two three", max_tokens=2) == ["one", " two"]


def test_an_empty_script_has_no_pieces() -> None:
    assert pieces(script="") == []


@given(st.text(st.characters(exclude_categories=()), max_size=300))
def test_pieces_joined_are_the_text_whatever_it_is(text: str) -> None:
    parts = list(cut(text))

    assert "".join(parts) == text
    assert all(1 <= len(part) <= 32 for part in parts)


def test_token_n_comes_at_its_time_however_late_the_one_before_was_taken() -> None:
    stop = HandMoved()
    model = SimulatedModel(clock=lambda: stop.now)
    times = []

    for number, _ in enumerate(model.stream(Prompt("x", max_tokens=8, tokens_per_s=4), stop)):
        times.append(stop.now)
        stop.now += 0.6 if number == 2 else 0.0

    assert times == [0.25, 0.5, 0.75, 1.35, 1.35, 1.5, 1.75, 2.0]


def test_as_fast_as_possible_never_sleeps() -> None:
    stop = HandMoved()

    list(SimulatedModel().stream(Prompt("x", max_tokens=1000, tokens_per_s=0), stop))

    assert stop.now == 0


def test_a_stop_ends_it_at_once_before_the_first_token() -> None:
    stop, asked, ends = StopSignal(), Latch(), []

    def clock() -> float:
        asked.open()
        return 0.0

    def read() -> None:
        try:
            next(iter(SimulatedModel(clock=clock).stream(Prompt("x", tokens_per_s=0.001), stop)))
        except Cancelled as reason:
            ends.append(str(reason))

    reader = Thread(read, name="reader").start()
    assert asked.wait(10)
    stop.set(Cancelled("enough"))

    assert reader.join(10)
    assert ends == ["enough"]


@pytest.mark.parametrize("speed", [0, 10_000])
def test_a_stop_between_two_tokens_ends_it(speed: float) -> None:
    stop = StopSignal()
    stream = SimulatedModel().stream(Prompt("x", tokens_per_s=speed), stop)
    next(stream)

    stop.set(TimedOut("too long"))

    with pytest.raises(TimedOut):
        next(stream)


@pytest.mark.parametrize("after", [0, 1, 5, 20])
def test_it_fails_after_as_many_tokens_as_asked(after: int) -> None:
    prompt = Prompt("x", max_tokens=20, tokens_per_s=0, fail_after=after)
    stream = SimulatedModel().stream(prompt, StopSignal())

    assert len(list(islice(stream, after))) == after
    with pytest.raises(TaskError) as failure:
        next(stream)

    assert (failure.value.code, failure.value.retryable) == ("upstream_error", True)


def test_it_does_not_fail_when_the_answer_is_shorter() -> None:
    assert len(pieces(max_tokens=20, fail_after=21)) == 20


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("a", 1), ("a" * 400, 100), ("你" * 4, 3), ("\ud800", 1)]
)
def test_tokens_are_counted_roughly(text: str, tokens: int) -> None:
    assert SimulatedModel().count(text) == tokens
