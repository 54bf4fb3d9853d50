"""Search in a small set of documents: sections, ranked by SQLite's full-text index (BM25)."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from streaming.errors import TaskError

#: Characters of a passage that a hit shows.
PASSAGE = 400

_HEADING = re.compile(r"^#{1,6}\s+(.*)$", re.MULTILINE)
#: Words of a question that say nothing about what it is about.
_COMMON = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "by",
        "can",
        "do",
        "does",
        "for",
        "from",
        "has",
        "have",
        "how",
        "i",
        "in",
        "is",
        "it",
        "its",
        "me",
        "much",
        "many",
        "of",
        "on",
        "or",
        "our",
        "should",
        "that",
        "the",
        "their",
        "there",
        "these",
        "this",
        "to",
        "was",
        "what",
        "when",
        "where",
        "which",
        "who",
        "why",
        "will",
        "with",
        "you",
        "your",
    ]
)


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a document: `id` is what an answer cites."""

    id: str
    title: str
    text: str


def sections(name: str, text: str) -> Iterator[Section]:
    """A Markdown or plain text, cut at its headings; empty parts are left out."""
    cuts = [(match.start(), match.end(), match[1].strip()) for match in _HEADING.finditer(text)]
    starts = [(0, 0, name), *cuts]
    ends = [start for start, _, _ in starts[1:]] + [len(text)]
    number = 0
    for (_, begins, title), ends_at in zip(starts, ends, strict=True):
        body = text[begins:ends_at].strip()
        if body:
            number += 1
            yield Section(f"{name}#{number}", title, body)


def keywords(question: str) -> list[str]:
    """The words of a question that say what it is about, each once."""
    words = re.findall(r"\w{2,}", question.lower())
    return list(dict.fromkeys(word for word in words if word not in _COMMON))


class DocumentSet:
    """Sections in an index in memory; used by one thread."""

    def __init__(self, documents: Iterable[Section]) -> None:
        self._db = sqlite3.connect(":memory:")
        try:
            self._db.execute(
                "CREATE VIRTUAL TABLE sections USING fts5("
                "id UNINDEXED, title, text, tokenize = 'porter unicode61')"
            )
        except sqlite3.OperationalError as error:
            message = "this Python's SQLite has no full-text search (FTS5)"
            raise TaskError(message, code="search_unavailable") from error
        rows = [(each.id, each.title, each.text) for each in documents]
        self._db.executemany("INSERT INTO sections VALUES (?, ?, ?)", rows)

    def search(self, query: str, limit: int = 3) -> list[Section]:
        """The sections that fit best, the best first; a title counts five times as much."""
        words = keywords(query)
        if not words:
            return []
        wanted = " OR ".join(f'"{word}"' for word in words)  # in quotes nothing is an operator
        found = self._db.execute(
            "SELECT id, title, text FROM sections WHERE sections MATCH ? "
            "ORDER BY bm25(sections, 0, 5, 1), rowid LIMIT ?",
            (wanted, limit),
        )
        return [Section(id, title, text[:PASSAGE]) for id, title, text in found]

    def close(self) -> None:
        self._db.close()
