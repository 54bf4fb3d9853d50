"""One connection for everything but appends: what gathers meanwhile is the next pipeline.

Callers may be threads or greenlets; the connection is used by the link's own thread alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import redis

from streaming.concurrency.inbox import Inbox
from streaming.concurrency.pending import Pending, settle
from streaming.concurrency.threads import Thread
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


class _Request(Pending[list[Any]]):
    __slots__ = ("commands",)

    def __init__(self, commands: Sequence[Command]) -> None:
        super().__init__()
        self.commands = commands

    @property
    def size(self) -> int:
        """Bytes of its arguments, about."""
        return sum(
            len(arg) for command in self.commands for arg in command if isinstance(arg, bytes | str)
        )


class Link:
    """Owns a thread and its connection."""

    def __init__(self, server: Server, *, name: str) -> None:
        self._server = server
        self._inbox: Inbox[_Request] = Inbox()
        self._client: redis.Redis | None = None
        self._thread = Thread(self._work, name=name)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Answer what was asked, then end."""
        self._inbox.close()
        self._thread.join(timeout=10)

    def call(self, *commands: Command) -> list[Any]:
        """Their results, in order. `Unavailable` when Redis is away: some may have been run.

        Every command must bear to be run again: a broken connection is tried once more.
        """
        if not commands:
            return []
        request = _Request(commands)
        self._inbox.give(request)
        return request.result()

    def post(self, *commands: Command) -> None:
        """Run commands some time; nobody waits for them, nobody hears when they fail."""
        self._inbox.give(_Request(commands))

    def _work(self) -> None:
        self._inbox.open()
        while (batch := self._take()) is not None:
            if batch:
                self._run(batch)
            else:
                self._inbox.rest(1.0)
        if self._client is not None:
            disconnect(self._client)

    def _take(self) -> list[_Request] | None:
        return self._inbox.take(BATCH, size=lambda each: each.size, most_bytes=BATCH_BYTES)

    def _run(self, batch: list[_Request]) -> None:
        try:
            results = self._execute_twice(batch)
        except (redis.RedisError, OSError, Unavailable) as error:
            for request in batch:
                _answer(request, error)
            return
        for request in batch:
            request.value = [results.popleft() for _ in request.commands]
            errors = [each for each in request.value if isinstance(each, Exception)]
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
    settle([request])
