"""Parsing Python expressions in several threads at once."""

from __future__ import annotations

import ast

from streaming.concurrency.platform import native_lock

_lock = native_lock()


def parse_expression(text: str) -> ast.expr:
    """The expression as a tree; `SyntaxError` or `ValueError` when it is none.

    One thread at a time: where several are in `ast.parse`, Python 3.11 fails with `SystemError`
    (python/cpython#106905).
    """
    with _lock:
        return ast.parse(text, mode="eval").body
