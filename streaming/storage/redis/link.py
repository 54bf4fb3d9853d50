"""One connection for everything but appends: what gathers meanwhile is the next pipeline.

Callers may be threads or greenlets; the connection is used by the link's own thread alone.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence

import redis

from streaming.concurrency.inbox import Inbox
from streaming.concurrency.pending import Pending, settle
from streaming.concurrency.threads import Thread
from streaming.errors import Unavailable
from streaming.storage.redis.connection import (
    Argument,
    Command,
    Reply,
    Server,
    as_damage,
    disconnect,
    is_away,
    run,
    unavailable,
)
from streaming.storage.redis.scripts import Script

logger = logging.getLogger(__name__)

#: Maximum requests in one pipeline, and bytes of their arguments.
BATCH, BATCH_BYTES = 200, 8 << 20


def call(script: Script, keys: Sequence[str], *args: Argument) -> Command:
    """The command that runs a script."""
    return ("EVALSHA", script.sha, len(keys), *keys, *args)


class _Request(Pending[list[Reply]]):
    __slots__ = ("commands", "tolerant")

    def __init__(self, commands: Sequence[Command], *, tolerant: bool = False) -> None:
        super().__init__()
        self.commands = commands
        #: Errors of single commands are among the results.
        self.tolerant = tolerant

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
        #: Requests that are under way.
        self._in_hand: list[_Request] = []
        #: Since when Redis owes answers, on `monotonic`; None when it has given all.
        self._owed_since: float | None = None
        self._thread = Thread(self._work, name=name)

    @property
    def name(self) -> str:
        return self._thread.name

    @property
    def dead(self) -> bool:
        """Whether its thread has ended by itself."""
        return self._thread.dead

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Answer what was asked, then end."""
        self._inbox.close()
        self._thread.join(timeout=10)

    def call(self, *commands: Command, within_s: float | None = None) -> list[Reply]:
        """Their results, in order. `Unavailable` when Redis is away: some may have been run.

        Every command must bear to be run again: a broken connection is tried once more.
        `within_s`: a server that is silent for longer is away, and who comes while it is waits no
        more, so that those who ask again and again do not pile up.
        """
        if not commands:
            return []
        request = _Request(commands)
        if within_s is None:
            self._inbox.give(request)
            return request.result()
        if self._silent_s() <= within_s:
            self._inbox.give(request)
            if request.wait(within_s):
                return request.result()
        why = f"Redis has not answered within {within_s:g} s"
        raise Unavailable(why, code="storage_away")

    def try_all(self, *commands: Command) -> list[Reply]:
        """Their results, in order, with an error in the place of each command that has failed."""
        if not commands:
            return []
        request = _Request(commands, tolerant=True)
        self._inbox.give(request)
        return [
            _as_told(each) if isinstance(each, Exception) else each for each in request.result()
        ]

    def post(self, *commands: Command) -> None:
        """Run commands some time; nobody waits for them, nobody hears when they fail."""
        self._inbox.give(_Request(commands))

    def _silent_s(self) -> float:
        """Seconds for which it has been asked in vain; 0 while it is not being asked."""
        since = self._owed_since
        return 0.0 if since is None or not self._in_hand else time.monotonic() - since

    def _work(self) -> None:
        self._inbox.open()
        try:
            self._serve()
        finally:
            why = f"the thread {self.name} has ended"
            for request in [*self._in_hand, *self._inbox.abandon(why)]:
                _answer(request, Unavailable(why, code="storage_away"))
            self._drop()

    def _serve(self) -> None:
        while (batch := self._take()) is not None:
            if not batch:
                self._inbox.rest(1.0)
                continue
            if self._owed_since is None:
                self._owed_since = time.monotonic()
            self._in_hand = batch
            try:
                self._run(batch)
            except Exception as error:  # whatever it was, the requests behind these must be run
                logger.exception("%s: requests failed", self.name)
                self._drop()
                for request in batch:
                    if not request.done:
                        _answer(request, error)
            self._in_hand = []

    def _take(self) -> list[_Request] | None:
        return self._inbox.take(BATCH, size=lambda each: each.size, most_bytes=BATCH_BYTES)

    def _run(self, batch: list[_Request]) -> None:
        try:
            results = self._execute_twice(batch)
        except (redis.RedisError, OSError, Unavailable) as error:
            for request in batch:
                _answer(request, error)
            return
        self._owed_since = None
        for request in batch:
            request.value = [results.popleft() for _ in request.commands]
            errors = [each for each in request.value if isinstance(each, Exception)]
            if request.tolerant:
                errors = [each for each in errors if is_away(each)]
            _answer(request, errors[0] if errors else None)

    def _execute_twice(self, batch: list[_Request]) -> deque[Reply]:
        """Once more on a new connection: the old one may have been broken for long."""
        try:
            return self._execute(batch)
        except (redis.RedisError, OSError):
            return self._execute(batch)

    def _execute(self, batch: list[_Request]) -> deque[Reply]:
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
    request.error = None if error is None else _as_told(error)
    settle([request])


def _as_told(error: BaseException) -> BaseException:
    """An error as callers get it, one for each."""
    if isinstance(error, Unavailable):
        return error.again()
    if is_away(error):
        return unavailable(error)
    return as_damage(error)
