"""One connection for everything but appends: what arrives meanwhile is the next pipeline.

Callers may be threads or greenlets; only the link's own thread uses the connection.
"""

from __future__ import annotations

import logging
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
from streaming.storage.redis.silence import Silence

logger = logging.getLogger(__name__)

#: Maximum requests in one pipeline, and bytes of their arguments.
BATCH, BATCH_BYTES = 200, 8 << 20


def call(script: Script, keys: Sequence[str], *args: Argument) -> Command:
    """The command that runs a script."""
    return ("EVALSHA", script.sha, len(keys), *keys, *args)


class _Request(Pending[list[Reply]]):
    __slots__ = ("commands", "left", "tolerant")

    def __init__(self, commands: Sequence[Command], *, tolerant: bool = False) -> None:
        super().__init__()
        self.commands = commands
        #: Whether errors of single commands are returned among the results.
        self.tolerant = tolerant
        #: Nobody waits for it any longer.
        self.left = False

    @property
    def size(self) -> int:
        """Approximate bytes of its arguments."""
        return sum(
            len(arg) for command in self.commands for arg in command if isinstance(arg, bytes | str)
        )


class Link:
    """Owns a thread and its connection."""

    def __init__(self, server: Server, *, name: str, silence_s: float | None = None) -> None:
        """`silence_s`: of a server that owes an answer, after which it is away for who waits."""
        self._server = server
        self._inbox: Inbox[_Request] = Inbox()
        self._client: redis.Redis | None = None
        #: Requests that are under way.
        self._in_hand: list[_Request] = []
        self._silence = Silence(silence_s)
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
        """Run all requests so far, then end."""
        self._inbox.close()
        self._thread.join(timeout=10)

    def call(self, *commands: Command, within_s: float | None = None) -> list[Reply]:
        """Run commands; their results, in order. `Unavailable` if Redis is away: some may have run.

        Every command must bear to be run again: a broken connection is tried once more.
        `within_s`, in place of the link's own `silence_s`: a server that is silent for longer is
        away, and who comes while it is waits no more, so that those who ask again and again do
        not pile up.
        """
        if not commands:
            return []
        return self._result(_Request(commands), within_s)

    def try_all(self, *commands: Command) -> list[Reply]:
        """Run commands; their results, in order, an error in the place of each that has failed."""
        if not commands:
            return []
        found = self._result(_Request(commands, tolerant=True))
        return [_as_told(each) if isinstance(each, Exception) else each for each in found]

    def post(self, *commands: Command) -> None:
        """Run commands some time: nobody waits for them, and failures are ignored."""
        self._inbox.give(_Request(commands))

    def _result(self, request: _Request, within_s: float | None = None) -> list[Reply]:
        self._silence.check(within_s)
        self._inbox.give(request)
        try:
            self._silence.wait(request, within_s)
        except Unavailable:
            request.left = True  # and is not begun, if it waits for those before it
            raise
        return request.result()

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
            self._in_hand = batch = [request for request in batch if not request.left]
            try:
                if batch:
                    self._run(batch)
            except Exception as error:  # whatever it was, the requests behind these must be run
                logger.exception("%s: requests failed", self.name)
                self._drop()
                for request in batch:
                    if not request.done:
                        _answer(request, error)
            self._in_hand = []
            self._silence.end()

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
            if request.tolerant:
                errors = [each for each in errors if is_away(each)]
            _answer(request, errors[0] if errors else None)

    def _execute_twice(self, batch: list[_Request]) -> deque[Reply]:
        """If it fails, once more on a new connection: the old one may have been dead for long."""
        try:
            return self._execute(batch)
        except (redis.RedisError, OSError):
            return self._execute(batch)

    def _execute(self, batch: list[_Request]) -> deque[Reply]:
        self._silence.begin()
        if self._client is None:
            self._client = self._server.connect()
        commands = [command for request in batch for command in request.commands]
        try:
            return deque(run(self._client, commands, heard=self._silence.begin))
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
    """An error as one of ours, a new one for each caller."""
    if isinstance(error, Unavailable):
        return error.again()
    if is_away(error):
        return unavailable(error)
    return as_damage(error)
