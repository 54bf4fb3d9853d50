"""One connection for everything but appends: what gathers meanwhile is the next pipeline.

Callers may be threads or greenlets; the connection is used by the link's own thread alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import redis

from streaming.concurrency import Thread, Waker, make_waker, native_lock
from streaming.errors import Unavailable
from streaming.storage.redis.connection import (
    Command,
    Server,
    disconnect,
    is_away,
    run,
    unavailable,
)
from streaming.storage.redis.scripts import Script

#: Requests in one pipeline at the most, and bytes of their arguments.
BATCH, BATCH_BYTES = 200, 8 << 20


def call(script: Script, keys: Sequence[str], *args: Any) -> Command:
    """The command that runs a script."""
    return ("EVALSHA", script.sha, len(keys), *keys, *args)


class _Request:
    __slots__ = ("commands", "done", "error", "results", "waker")

    def __init__(self, commands: Sequence[Command], waker: Waker | None) -> None:
        self.commands = commands
        self.waker = waker
        self.results: list[Any] = []
        self.error: BaseException | None = None
        self.done = False


class Link:
    """Owns a thread and its connection."""

    def __init__(self, server: Server, *, name: str) -> None:
        self._server = server
        self._lock = native_lock()
        self._requests: deque[_Request] = deque()
        self._idle: Waker | None = None
        self._stopping = False
        self._client: redis.Redis | None = None
        self._thread = Thread(self._work, name=name)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Answer what was asked, then end."""
        with self._lock:
            self._stopping = True
        self._ring()
        self._thread.join(timeout=10)

    def call(self, *commands: Command) -> list[Any]:
        """Their results, in order. `Unavailable` when Redis is away: some may have been run.

        Every command must bear to be run again: a broken connection is tried once more.
        """
        if not commands:
            return []
        request = _Request(commands, make_waker())
        assert request.waker is not None
        self._put(request)
        while not request.done:
            request.waker.wait()
        if request.error is not None:
            raise request.error
        return request.results

    def post(self, *commands: Command) -> None:
        """Run commands some time; nobody waits for them, nobody hears when they fail."""
        self._put(_Request(commands, None))

    def _put(self, request: _Request) -> None:
        with self._lock:
            if self._stopping:
                raise Unavailable("the server is shutting down", code="draining")
            self._requests.append(request)
        self._ring()

    def _ring(self) -> None:
        if self._idle is not None:
            self._idle.wake()

    def _work(self) -> None:
        self._idle = make_waker()
        while (batch := self._gather()) is not None:
            if batch:
                self._run(batch)
            else:
                self._idle.wait(1.0)
        if self._client is not None:
            disconnect(self._client)

    def _gather(self) -> list[_Request] | None:
        with self._lock:
            if self._stopping and not self._requests:
                return None
            batch: list[_Request] = []
            size = 0
            while self._requests and len(batch) < BATCH and size < BATCH_BYTES:
                batch.append(self._requests.popleft())
                size += sum(map(_weight, batch[-1].commands))
            return batch

    def _run(self, batch: list[_Request]) -> None:
        try:
            results = self._execute_twice(batch)
        except (redis.RedisError, OSError, Unavailable) as error:
            for request in batch:
                _answer(request, error)
            return
        for request in batch:
            request.results = [results.popleft() for _ in request.commands]
            errors = [each for each in request.results if isinstance(each, Exception)]
            _answer(request, errors[0] if errors else None)

    def _execute_twice(self, batch: list[_Request]) -> deque[Any]:
        """Once more on a new connection: the old one may have been broken for long."""
        try:
            return self._execute(batch)
        except (redis.RedisError, OSError):
            return self._execute(batch)

    def _execute(self, batch: list[_Request]) -> deque[Any]:
        if self._client is None:
            self._client = self._server.connect()
        try:
            return deque(run(self._client, [c for request in batch for c in request.commands]))
        except (redis.RedisError, OSError):
            self._drop()
            raise

    def _drop(self) -> None:
        if self._client is not None:
            disconnect(self._client)
            self._client = None


def _answer(request: _Request, error: BaseException | None) -> None:
    if error is not None:
        away = is_away(error) and not isinstance(error, Unavailable)
        request.error = unavailable(error) if away else error
    request.done = True
    if request.waker is not None:
        request.waker.wake()


def _weight(command: Command) -> int:
    return sum(len(arg) for arg in command if isinstance(arg, (bytes, str)))
