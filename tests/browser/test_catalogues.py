"""The texts of the page: the same ids in both languages, and all that the code names."""

from __future__ import annotations

import json
import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "static" / "page"


def catalogue(name: str) -> dict[str, str]:
    pairs = re.findall(r'^  (\w+): ("(?:[^"\\]|\\.)*"),$', (PAGE / name).read_text(), re.M)
    return {key: json.loads(text) for key, text in pairs}


ENGLISH, CHINESE = catalogue("english.js"), catalogue("chinese.js")


def test_both_languages_have_the_same_texts() -> None:
    assert len(ENGLISH) > 400
    assert set(ENGLISH) == set(CHINESE)


def test_the_code_names_only_texts_that_there_are() -> None:
    named = {
        key
        for file in PAGE.glob("*.js")
        for key in re.findall(r'(?<![\w.])t\(\s*"([^"]+)"', file.read_text())
    }

    assert len(named) > 100
    assert named <= set(ENGLISH)


def test_a_text_has_the_same_values_to_fill_in_in_both_languages() -> None:
    def values(text: str) -> set[str]:
        return set(re.findall(r"\{(\w+)\}", text))

    assert {key for key in ENGLISH if values(ENGLISH[key]) != values(CHINESE[key])} == set()


def test_an_english_text_is_found_by_itself() -> None:
    assert len(set(ENGLISH.values())) == len(ENGLISH)
