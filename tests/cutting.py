"""A TCP proxy for tests of answers that are lost, or that come when they are old already."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Self


class CuttingProxy:
    """Stands between a client and a server on this machine."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._needle: bytes | None = None
        self._cuts = False
        self._meanwhile: Callable[[], object] = lambda: None
        self._open: set[socket.socket] = set()
        #: Answers that were swallowed.
        self.swallowed = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        with self._lock:
            for each in self._open:
                each.close()

    def swallow_answer_to(
        self, needle: bytes, *, meanwhile: Callable[[], object] = lambda: None
    ) -> None:
        """Pass the next request that has `needle`, and cut its connection before the answer.

        Between the answer and the cut, `meanwhile` is called.
        """
        with self._lock:
            self._needle, self._meanwhile, self._cuts = needle, meanwhile, True

    def hold_answer_to(self, needle: bytes, *, meanwhile: Callable[[], object]) -> None:
        """Pass the next request that has `needle`, and its answer when `meanwhile` is over."""
        with self._lock:
            self._needle, self._meanwhile, self._cuts = needle, meanwhile, False

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.create_connection(("127.0.0.1", self._target))
        with self._lock:
            self._open |= {client, server}
        wanted = threading.Event()
        threading.Thread(target=self._answer, args=(server, client, wanted), daemon=True).start()
        try:
            while data := client.recv(1 << 20):
                if self._is_wanted(data):
                    wanted.set()
                server.sendall(data)
        except OSError:
            pass  # cut: what this proxy is for
        finally:
            _shut(server)

    def _answer(
        self, server: socket.socket, client: socket.socket, wanted: threading.Event
    ) -> None:
        try:
            while data := server.recv(1 << 20):
                if wanted.is_set():
                    wanted.clear()
                    self._meanwhile()
                    if self._cuts:
                        self.swallowed += 1
                        break
                client.sendall(data)
        except OSError:
            pass  # cut: what this proxy is for
        finally:
            _shut(client)

    def _is_wanted(self, data: bytes) -> bool:
        with self._lock:
            found = self._needle is not None and self._needle in data
            self._needle = None if found else self._needle
            return found


def _shut(each: socket.socket) -> None:
    try:
        each.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
