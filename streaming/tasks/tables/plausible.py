"""Whether text that came of decoding can be what somebody wrote: letters of one language."""

from __future__ import annotations

import re
import unicodedata

#: Letters beyond a-z of languages that are written with one of the Latin code pages.
_ALPHABETS: dict[str, tuple[str, ...]] = {
    "cp1252": (
        *("äöüß", "àâæçéèêëîïôœùûüÿ", "áéíñóúü", "áâãàçéêíóôõúü", "àèéìíîòóùú", "áéíóúëïöüèç"),
        *("åäöé", "åæøéòô", "äöåšž", "áðéíóúýþæö", "àçèéíïòóúü", "çë", "äöõüšž"),
    ),
    "cp1250": (
        *("äöüß", "ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű"),
        *("čćđšž", "ăâîşţ", "äöõüšž", "áéíóúëö"),
    ),
    "cp1254": ("çğıöşüâîû",),
    "cp1251": ("абвгдежзийклмнопрстуфхцчшщъыьэюяё", "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя'")
    + ("абвгдеёжзійклмнопрстуўфхцчшыьэюя", "абвгдђежзијклљмнњопрстћуфхцчџш"),
    "koi8_r": ("абвгдежзийклмнопрстуфхцчшщъыьэюяё",),
    "cp1255": ("אבגדהוזחטיךכלםמןנסעףפץצקרשת",),
    "cp1253": ("αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ",),
}
#: East Asian characters by their first byte in the national set: the common ones. Rare ones are
#: what the bytes of another encoding look like.
_COMMON: dict[str, tuple[str, tuple[range, ...]]] = {
    "gb18030": ("gb2312", (range(0xA1, 0xA4), range(0xB0, 0xD8))),
    "cp932": ("shift_jis", (range(0x81, 0x85), range(0x88, 0x99))),
    "big5": ("big5", (range(0xA1, 0xC7),)),
    "cp949": ("euc_kr", (range(0xA1, 0xA4), range(0xB0, 0xC9))),
    "euc_jp": ("shift_jis", (range(0x81, 0x85), range(0x88, 0x99))),
}
#: Minimum share of common characters.
_SHARE = 0.95
_SIGNS = frozenset("€£¥¢§°²³µ·½¼¾«»‹›“”„‘’‚–—…•®©™№\u00a0±×‰ªº¿¡¹´")
#: Signs that may stand within a word.
_INSIDE = frozenset("’·–—\u00a0")


def is_plausible(text: str, codec: str) -> bool:
    """Whether these words, decoded by `codec`, are text in a language that it is used for."""
    if any(
        unicodedata.category(char) in ("Cc", "Cn", "Co") for char in text if char not in "\t\n\0"
    ):
        return False
    if codec in _COMMON:
        return _is_east_asian(text, *_COMMON[codec])
    return _is_alphabetic(text, codec)


def _is_east_asian(text: str, national: str, common: tuple[range, ...]) -> bool:
    if re.search("[a-z][^\0-\x7f]|[^\0-\x7f][a-z]", text):
        return False
    wide = [char for char in text if char > "\x7f"]
    known = sum(_lead(char, national) in leads for char in wide for leads in common)
    return known >= _SHARE * len(wide)


def _lead(char: str, national: str) -> int:
    """The first byte of a character of two; 0 of any other."""
    try:
        encoded = char.encode(national)
    except UnicodeEncodeError:
        return 0
    return encoded[0] if len(encoded) == 2 else 0


def _is_alphabetic(text: str, codec: str) -> bool:
    letters = {char for char in text.lower() if char > "\x7f" and char not in _SIGNS}
    if not any(letters <= set(alphabet) for alphabet in _ALPHABETS[codec]):
        return False
    is_latin = codec in ("cp1252", "cp1250", "cp1254")
    if not all(_is_word(word, is_latin) for word in text.split("\n")):
        return False
    words = [word for word in re.findall(r"[^\W\d_]+", text) if not word.isascii()]
    if codec == "cp1253":
        return all(_is_greek(word) for word in words if len(word) > 3)
    return is_latin or codec == "cp1255" or all(map(_has_vowel, words))


def _has_vowel(word: str) -> bool:
    """Cyrillic words do, but for some of one small letter."""
    return (len(word) == 1 and word.islower()) or bool(set(word.lower()) & set("аеёиоуыэюяіїєў"))


def _is_word(word: str, is_latin: bool) -> bool:
    for before, char, after in zip(" " + word, word, word[1:] + " ", strict=False):
        if char <= "\x7f":
            continue
        if char in _SIGNS:
            if char not in _INSIDE and _is_letter(before) and _is_letter(after):
                return False
        elif (
            before.isdigit()
            or after.isdigit()
            or not is_latin
            and any(side.isascii() and side.isalpha() for side in (before, after))
        ):
            return False
    if re.search(r"[a-z]", word.lower()) is None and is_latin:
        wide = [char for char in word if char > "\x7f" and char not in _SIGNS]
        if len(wide) > 1:
            return False
    if _turns(word, wide=is_latin):
        return False
    return not is_latin or re.search("[^\0-\x7f]{3}", word) is None


def _is_letter(char: str) -> bool:
    return char.isalpha() and char not in _SIGNS


def _turns(word: str, *, wide: bool) -> bool:
    """Whether a small letter is followed by a capital one, with `wide` one beyond A to Z."""
    return any(
        a.islower() and b.isupper() and not (wide and b.isascii())
        for a, b in zip(word, word[1:], strict=False)
    )


def _is_greek(word: str) -> bool:
    """Greek words have one accent."""
    return word.isascii() or word.isupper() or sum(char in "άέήίόύώΐΰ" for char in word) == 1
