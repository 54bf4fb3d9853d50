"""The one connection on which Redis sends messages to a process; made again when it breaks."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from typing import Protocol, TypedDict

import redis

from streaming.concurrency.locks import Latch
from streaming.concurrency.threads import Thread
from streaming.errors import StreamingError
from streaming.storage.redis.connection import Server, disconnect, explain

logger = logging.getLogger(__name__)

#: Seconds between two checks while nothing arrives.
LOOK_S = 0.5
#: Seconds between tries while Redis is away.
RETRY_S = 0.25
#: Seconds of silence after which the connection is tested, and after which it counts as broken.
PING_S, SILENCE_S = 5.0, 12.0


class Listener(Protocol):
    """Callbacks, in the subscription's thread."""

    def connected(self) -> None:
        """Messages arrive from now on: what came before has to be looked up."""

    def confirmed(self, channel: str) -> None:
        """Messages on one more channel arrive from now on."""

    def told(self, channel: str, data: bytes) -> None:
        """A message has arrived on a channel."""

    def wanted(self) -> Collection[str]:
        """The channels to subscribe to, besides the fixed ones."""


class _Message(TypedDict):
    type: str
    channel: bytes | None
    data: bytes


class _PubSub(Protocol):
    """The parts in use of the library's class, which has no types."""

    def subscribe(self, *channels: str) -> object: ...

    def unsubscribe(self, *channels: str) -> object: ...

    def get_message(self, *, timeout: float) -> _Message | None: ...

    def ping(self) -> object: ...

    def close(self) -> None: ...


class Subscription:
    """Owns the thread and its connection."""

    def __init__(self, server: Server, listener: Listener, *, own_channel: str) -> None:
        """On `own_channel` this process wakes itself, to check which channels are wanted."""
        self._server = server
        self._listener = listener
        self._own_channel = own_channel
        self._fixed: set[str] = set()
        self.subscribed: set[str] = set()
        #: Whether the wanted channels may have changed.
        self._changed = False
        self._stopping = Latch()
        #: What keeps it from listening at present.
        self.fault: str | None = None
        self._thread = Thread(self._work, name="redis-follower")

    @property
    def name(self) -> str:
        return self._thread.name

    @property
    def dead(self) -> bool:
        """Whether its thread has ended by itself."""
        return self._thread.dead

    def hear(self, channel: str) -> None:
        """Before the start: always subscribe to this channel."""
        self._fixed.add(channel)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End it: a message on its own channel wakes it, or it notices within half a second."""
        self._stopping.open()
        self._thread.join(timeout=10)

    @property
    def stopping(self) -> bool:
        return self._stopping.is_open

    def _work(self) -> None:
        while not self._stopping.is_open:
            try:
                self._listen()
            except (redis.RedisError, OSError, StreamingError) as error:
                if self.fault is None:
                    logger.error("Redis cannot be followed: %s", explain(error))
                self.fault = explain(error)
            except Exception:  # whatever it was: readers depend on this thread
                logger.exception("following Redis failed; it begins again")
            self._stopping.wait(RETRY_S)

    def _listen(self) -> None:
        """Use one connection until it breaks."""
        client = self._server.connect(answer_s=SILENCE_S)
        pubsub: _PubSub = client.pubsub()  # type: ignore[no-untyped-call]
        self.subscribed = set()
        heard = pinged = look_at = time.monotonic()
        try:
            pubsub.subscribe(self._own_channel, *self._fixed)
            while not self._stopping.is_open:
                message = pubsub.get_message(timeout=LOOK_S)
                now = time.monotonic()
                if message is not None:
                    heard = now
                    self._take(message)
                elif now - heard > SILENCE_S:
                    raise redis.ConnectionError("it does not answer")
                elif now - max(heard, pinged) > PING_S:
                    pinged = now
                    pubsub.ping()
                if self._changed or now > look_at:
                    self._changed, look_at = False, now + LOOK_S
                    self._subscribe(pubsub)
        finally:
            pubsub.close()
            disconnect(client)

    def _take(self, message: _Message) -> None:
        channel = message["channel"].decode() if message["channel"] else ""
        if message["type"] == "subscribe":
            self._confirmed(channel)
        elif message["type"] == "message" and channel == self._own_channel:
            self._changed = True
        elif message["type"] == "message":
            self._listener.told(channel, message["data"])

    def _confirmed(self, channel: str) -> None:
        if channel != self._own_channel:
            self._listener.confirmed(channel)
            return
        self._listener.connected()
        if self.fault is not None:
            logger.warning("Redis can be followed again")
        self.fault = None

    def _subscribe(self, pubsub: _PubSub) -> None:
        """Subscribe to the wanted channels, and unsubscribe from all others."""
        wanted = set(self._listener.wanted())
        new, old = wanted - self.subscribed, self.subscribed - wanted
        if new:
            pubsub.subscribe(*new)
        if old:
            pubsub.unsubscribe(*old)
        self.subscribed = wanted
