"""What the simulated model writes: sentences about the prompt's words, in the prompt's language.

They say nothing, but they read like an answer and end where a sentence ends.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
#: Space with what follows it: one or two CJK characters, a word, or a run of other signs.
#: Every character is in one of the classes, and each run is bounded, so that every text is cut.
_PIECE = re.compile(rf"\s{{0,8}}(?:[{_CJK}]{{1,2}}|[^\W{_CJK}]{{1,24}}|[^\w\s]{{1,16}})|\s{{1,8}}")
#: Words of a prompt that are written about, and characters of it that are looked at.
WORDS, LOOKED_AT = 8, 4000
#: Sentences of a paragraph.
PARAGRAPH = 6


@dataclass(frozen=True, slots=True)
class Language:
    """How to say nothing in a language: `{a}` and `{b}` are words of the prompt."""

    openings: Sequence[str]
    sentences: Sequence[str]
    #: Of a few pieces, two at least: what fills the rest.
    closings: Sequence[str]
    #: What is written about when the prompt has no words.
    topic: str
    gap: str = " "


def cut(text: str) -> Iterator[str]:
    """The text in word-like pieces; joined, they are the text."""
    return (match.group() for match in _PIECE.finditer(text))


def write(prompt: str, seed: int, limit: int) -> Iterator[str]:
    """`limit` pieces, the same for the same arguments on every machine."""
    language, words = language_of(prompt), words_of(prompt)
    key = f"{seed}\0{prompt}".encode("utf-8", "surrogatepass")
    dice = random.Random(int.from_bytes(hashlib.sha256(key).digest()))
    known: dict[str, tuple[str, ...]] = {}

    def pick(choices: Sequence[str]) -> str:
        # Only random() is promised to give the same sequence in every version of Python.
        return choices[int(dice.random() * len(choices))]

    def pieces(text: str) -> tuple[str, ...]:
        found = known.get(text)
        if found is None:
            found = known[text] = tuple(cut(text))
        return found

    topics = words or [language.topic]
    if limit == 1:
        yield pieces(topics[0])[0]
        return
    left, number = limit, 0
    while left:
        gap = "" if number == 0 else "\n\n" if number % PARAGRAPH == 0 else language.gap
        opening = pieces(gap + pick(language.openings))
        one = pick(topics)
        other = pick([topic for topic in topics if topic != one] or topics)
        said = pieces(pick(language.sentences).format(a=one, b=other))
        size = len(opening) + len(said)
        if size != left and size > left - 2:
            break
        yield from opening
        yield from said
        left -= size
        if number % 2 == 0 and left != 2 and left > 0:
            yield pieces(" " + pick(_EMOJI))[0]
            left -= 1
        number += 1
    while left:
        gap = language.gap if number else ""
        fitting = [
            found
            for text in language.closings
            if len(found := pieces(gap + text)) == left or len(found) <= left - 2
        ]
        chosen = max(fitting, key=len)
        yield from chosen
        left -= len(chosen)
        number += 1


def language_of(prompt: str) -> Language:
    """English for Latin letters, Chinese for Han characters alone; the words by themselves else."""
    text = prompt[:LOOKED_AT]
    if re.search(r"[\u3040-\u30ff\uac00-\ud7af]", text):
        return _ANY
    han = len(re.findall(r"[\u3400-\u4dbf\u4e00-\u9fff]", text))
    letters = [char for char in text if char.isalpha()]
    latin = sum(char < "\u0250" for char in letters)
    if han and 4 * han >= latin:
        return _CHINESE
    return _ENGLISH if 2 * latin >= len(letters) else _ANY


def words_of(prompt: str) -> list[str]:
    """Words of the prompt that say what it is about, each once."""
    text = prompt[:LOOKED_AT]
    if language_of(prompt) is _CHINESE:
        runs = re.findall(r"[\u3400-\u4dbf\u4e00-\u9fff]+|[A-Za-z][\w-]+", text)
        found = [part for run in runs for part in _HAN_COMMON.split(run) if 2 <= len(part) <= 12]
    else:
        words = re.findall(r"[^\W\d_](?:[\w'’-]{0,22}\w)?", text)
        found = [word for word in words if word.lower() not in _COMMON]
        found = [word for word in found if len(word) > 2 or not word.isascii()]
    return list(dict.fromkeys(found))[:WORDS]


_ENGLISH = Language(
    openings=(
        "In practice,", "At first sight,", "In short,", "As far as one can tell,",
        "Seen from a distance,", "On closer inspection,", "For most people,", "To begin with,",
    ),
    sentences=(
        " the question of {a} comes down to what {b} is meant to do.",
        " everything about {a} depends on who asks.",
        " whoever speaks of {a} soon has to speak of {b}.",
        " the simplest account of {a} is still the best one.",
        " what is said about {a} holds for {b} as well.",
        " there are two sides to {a}, and {b} is only one of them.",
        " a good example of {a} says more than a long definition.",
        " the word {a} means something else to everyone.",
        " nothing about {a} is settled before {b} is understood.",
        " most of what matters about {a} can be seen within a day.",
        " the naïve view of {a} leaves {b} out.",
        " it helps to look at {a} in small steps.",
    ),
    closings=(
        "Enough.", "Good luck.", "So it goes.", "That is all now.", "More can be said later.",
        "The rest is a matter of taste.",
    ),
    topic="this",
)  # fmt: skip

_CHINESE = Language(
    openings=(
        "总的来说，",
        "简单地说，",
        "与此同时，",
        "不过，",
        "换句话说，",
        "首先，",
        "实际上，",
    ),
    sentences=(
        "谈到{a}，就离不开{b}。",
        "{a}的关键在于怎样理解{b}。",
        "关于{a}，每个人的看法都不一样。",
        "要弄清楚{a}，最好从一个小例子开始。",
        "{a}和{b}往往要放在一起看。",
        "对大多数人来说，{a}比想象中简单。",
        "如果不了解{b}，就很难说清{a}。",
        "{a}值得慢慢观察。",
        "最简单的解释往往也最适合{a}。",
        "今天的{a}和过去已经不同了。",
    ),
    closings=("好了。", "仅此而已。", "以上就是全部。", "其余的以后再说吧。"),
    topic="这个问题",
    gap="",
)

_ANY = Language(
    openings=("—", "•", "→"),
    sentences=(
        " {a}, {b}.",
        " {a} = {b}?",
        " {a}: {b}; {b}: {a}.",
        " “{a}” · “{b}”.",
        " {a} ≈ {b}.",
    ),
    closings=("… .", "… … …", "· · · ·"),
    topic="…",
)

_COMMON = frozenset(
    """
    a about all also an and any are as at be because been but by can could describe did do does
    explain for from give had has have how i if in into is it its just like list make many me
    more most much my no not of on one or our please say short should show so some something
    tell than that the their them then there these they this to us very was we were what when
    where which who why will with would write you your
    """.split()  # noqa: SIM905 - a list of as many literals is no easier to read
)
#: What stands between the words of a Chinese question.
_HAN_COMMON = re.compile(
    "为什么|是什么|怎么样|怎么办|有哪些|一首|一篇|一个|一下|介绍|解释|说明|关于|什么|怎么|如何|"
    "可以|请问|帮我|告诉|我们|你们|这个|那个|哪些|[请写讲谈说的了吗呢吧是在有和与对我你他她它用把给，]"
)
#: Among them some of several code points: joined, with a skin tone, a flag, with a variation.
_EMOJI = ("🚀", "📈", "✅", "🎉", "👩‍💻", "👨‍👩‍👧‍👦", "👍🏽", "🇩🇪", "❤️", "🏳️‍🌈")
