"""The writer's connection to Redis, which knows whether Redis is away; for its one thread."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import redis

from streaming.errors import Unavailable
from streaming.storage.redis.connection import Command, Reply, Server, disconnect, explain, run
from streaming.storage.redis.silence import Silence

logger = logging.getLogger(__name__)

#: What is raised when Redis is away.
AWAY = (redis.RedisError, OSError, Unavailable)


class WriterConnection:
    """Connects on demand, and again after an error."""

    def __init__(self, server: Server, silence: Silence) -> None:
        self._server = server
        self._silence = silence
        self._client: redis.Redis | None = None
        #: What keeps Redis from being written at present.
        self.fault: str | None = None

    def execute(self, commands: Sequence[Command]) -> list[Reply]:
        """Their results, errors of single ones among them; one of `AWAY` when it is away."""
        self._silence.begin()
        try:
            if self._client is None:
                self._client = self._server.connect()
            return run(self._client, commands, heard=self._silence.begin)
        finally:
            self._silence.end()

    def probe(self, command: Command) -> None:
        """Check whether Redis is back, by a command whose result nobody needs."""
        answer: Reply
        try:
            [answer] = self.execute([command])
        except AWAY as error:
            answer = error
        if isinstance(answer, BaseException):
            self.away(answer)
        else:
            self.back()

    def away(self, error: BaseException) -> None:
        """Note a failed command: the next one makes a new connection."""
        self.close()
        if self.fault is None:
            logger.error("Redis cannot be written: %s", explain(error))
        self.fault = explain(error)

    def back(self) -> None:
        """Note that Redis has accepted a command."""
        if self.fault is not None:
            logger.warning("Redis can be written again")
        self.fault = None

    def close(self) -> None:
        if self._client is not None:
            disconnect(self._client)
            self._client = None
