"""Halves of characters: JSON may split a surrogate pair over two texts, UTF-8 may not."""

from __future__ import annotations

import json

from streaming.events.vocabulary import Json


def whole(text: str) -> str:
    """The text with halves of surrogate pairs joined; a lone one is U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def whole_json(value: Json) -> Json:
    """The same for all text in a value; `TypeError` or `ValueError` where it is no JSON."""
    try:
        return json.loads(whole(json.dumps(value, ensure_ascii=False, allow_nan=False)))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


class Joiner:
    """Joins the halves of a surrogate pair that come in two pieces."""

    def __init__(self) -> None:
        self.half = ""

    def add(self, text: str) -> str:
        """The text without a half at its end, which waits for the next piece."""
        text = self.half + text
        self.half = ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self.half = text[:-1], text[-1]
        return whole(text)

    def end(self) -> str:
        """What is left: a half whose other half never came."""
        left, self.half = self.half, ""
        return whole(left)
