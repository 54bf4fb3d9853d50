"""The names of months in many languages, from the Unicode locale data."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import cache

from babel import Locale

LANGUAGES = (
    *("en", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "nb", "fi", "is", "pl", "cs", "sk"),
    *("hu", "ro", "bg", "hr", "sl", "sr", "sr_Latn", "ru", "uk", "el", "tr", "et", "lv", "lt"),
    *("ca", "id", "ms", "vi"),
)
#: What people write beside that.
_MORE = {
    "en": {"sept": 9},
    "de": {"jän": 1, "jänner": 1, "mrz": 3, "mär": 3, "okt": 10, "dez": 12},
    "es": {"set": 9, "setiembre": 9},
    "fr": {"janv": 1, "fev": 2, "fevr": 2, "aout": 8, "dec": 12},
}


@cache
def month_words() -> Mapping[str, Mapping[int, frozenset[str]]]:
    """By word: the numbers that it is the name of, each with the languages of that opinion."""
    found: dict[str, dict[int, set[str]]] = {}
    for language in LANGUAGES:
        for word, month in [*_of(language), *_MORE.get(language, {}).items()]:
            if word and not word.isdigit():
                found.setdefault(word, {}).setdefault(month, set()).add(language)
    return {
        word: {month: frozenset(languages) for month, languages in meanings.items()}
        for word, meanings in found.items()
    }


def plain(word: str) -> str:
    """As words are looked up: composed, lower case, without a full stop behind it."""
    return unicodedata.normalize("NFC", word).casefold().rstrip(".")


def _of(language: str) -> list[tuple[str, int]]:
    names = Locale.parse(language).months
    return [
        (plain(name), month)
        for context in ("format", "stand-alone")
        for width in ("wide", "abbreviated")
        for month, name in names[context][width].items()
    ]
