"""Blobs of the other end: its folder, or, where it has none, copies handed over as files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from streaming.storage.blobs import Blobs, Folder
from streaming.storage.folder import FolderBlobs
from streaming.storage.link.peer import Peer


def link_blobs(peer: Peer) -> Blobs:
    """The blobs of the process at the other end of a link, on this machine."""
    root = peer.call("blobs")
    return HandedBlobs(peer) if root is None else FolderBlobs(Path(root))


class HandedBlobs(Blobs):
    """Bytes travel as files that only the two processes know."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def put(self, key: str, chunks: Iterable[bytes]) -> int:
        with tempfile.NamedTemporaryFile(prefix="streaming-blob-") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            return int(self._peer.call("put", key, file.name))

    def open(self, key: str) -> IO[bytes]:
        with tempfile.NamedTemporaryFile(prefix="streaming-blob-") as file:
            self._peer.call("open", key, file.name)
            return Path(file.name).open("rb")  # it is there as long as it is open

    def delete(self, folder: str) -> None:
        self._peer.call("delete", folder)

    def folders(self, prefix: str) -> Iterable[Folder]:
        return [Folder(*each) for each in self._peer.call("folders", prefix)]
