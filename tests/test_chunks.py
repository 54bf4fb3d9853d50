"""Pages as readers get them, kept for others: bounded, the oldest go first."""

from __future__ import annotations

from streaming.watching.chunks import CHUNK_BYTES, KEPT_BYTES, Chunk, Chunks

#: Sixteen of these are as much as is kept.
LARGE = bytes(KEPT_BYTES // 16 - CHUNK_BYTES)


def chunk(data: bytes) -> Chunk:
    return Chunk(data, end=1, events=1, last=False)


def kept(chunks: Chunks, channel: str) -> list[int]:
    """The positions of a channel's chunks."""
    return [after for after in range(100) if chunks.get(channel, after, 0) is not None]


def filled() -> Chunks:
    """As full as may be: a chunk of one channel, then those of another."""
    chunks = Chunks()
    for after in range(16):
        chunks.keep("first" if after == 0 else "second", after, 0, chunk(LARGE))
    return chunks


def test_as_much_is_kept_as_there_is_room_for() -> None:
    chunks = filled()

    assert (kept(chunks, "first"), kept(chunks, "second")) == ([0], list(range(1, 16)))
    assert chunks.bytes == KEPT_BYTES


def test_what_is_too_much_takes_the_place_of_the_oldest() -> None:
    chunks = filled()

    chunks.keep("second", 16, 0, chunk(2 * LARGE))

    assert (kept(chunks, "first"), kept(chunks, "second")) == ([], list(range(2, 17)))
    assert chunks.bytes == KEPT_BYTES - CHUNK_BYTES


def test_what_was_dropped_is_not_dropped_again_with_its_channel() -> None:
    chunks = filled()
    chunks.keep("second", 16, 0, chunk(LARGE))

    chunks.forget("first")
    assert chunks.bytes == KEPT_BYTES

    chunks.forget("second")
    assert (len(chunks), chunks.bytes) == (0, 0)


def test_a_chunk_that_is_kept_again_counts_once() -> None:
    chunks = Chunks()

    for data in (b"data", b"other"):
        chunks.keep("first", 1, 0, chunk(data))

    assert chunks.get("first", 1, 0) == chunk(b"data")
    assert chunks.bytes == len(b"data") + CHUNK_BYTES
