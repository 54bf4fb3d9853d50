"""Compressed bodies, as servers send them though nobody has asked for it. No I/O."""

from __future__ import annotations

import zlib


class Inflate:
    """A compressed body to plain bytes: gzip of one member or many, zlib, or deflate alone."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(zlib.MAX_WBITS | 32)
        #: What came before anything was made of it.
        self._head: bytes | None = b""

    def add(self, data: bytes) -> bytes:
        """What is plain so far; `zlib.error` for what is none of these."""
        made = b""
        while data:
            if self._stream.eof:
                if not b"\x1f\x8b".startswith(data[:2]):  # padding
                    break
                self._stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
            made += self._inflated(data)
            data = self._stream.unused_data
        return made

    def _inflated(self, data: bytes) -> bytes:
        try:
            made = self._stream.decompress(data)
        except zlib.error:
            if self._head is None:
                raise
            data, self._head = self._head + data, None
            self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
            return self._stream.decompress(data)
        if self._head is not None:
            self._head = None if made else self._head + data
        return made
