"""The Redis server: how to reach it, whether it is fit to keep logs, and when it is away."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias
from urllib.parse import urlsplit
from weakref import WeakSet

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from streaming.errors import Damaged, InvalidSettings, Unavailable
from streaming.storage.redis.keys import Keys
from streaming.storage.redis.scripts import SCRIPTS

logger = logging.getLogger(__name__)

#: An argument of a command.
Argument: TypeAlias = bytes | str | int | float
#: A command and its arguments.
Command: TypeAlias = tuple[Argument, ...]
#: An answer of Redis: bytes, integers, None, lists of these, or the error of this one command.
#: The sender of the command knows which; a type checker does not.
Reply: TypeAlias = Any

#: The oldest version that was tested.
OLDEST = (7, 0)
#: The version of the stored data; a server with newer data is left alone.
FORMAT = 1
#: Seconds to connect, and to wait for an answer.
CONNECT_S, ANSWER_S = 3.0, 5.0
#: Errors of a server that runs, but does not accept commands at present.
AWAY = ("OOM", "READONLY", "LOADING", "MISCONF", "NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN", "BUSY")


class Server:
    """Makes connections to one Redis server. Each belongs to the thread that uses it."""

    def __init__(self, url: str, *, verify: bool = True, prefix: str = "streaming") -> None:
        """Without `verify`, any certificate will do (`rediss://`)."""
        self._url = url
        self._verify = verify
        self.keys = Keys(prefix)
        address = urlsplit(url)
        #: The address without its password.
        self.shown = f"{address.hostname}:{address.port or 6379}{address.path}"

    def connect(self, *, answer_s: float = ANSWER_S) -> redis.Redis:
        """A client with one connection, with the scripts loaded; `Unavailable` when it is away."""
        client = self._client(answer_s)
        try:
            pipeline = client.pipeline(transaction=False)
            for script in SCRIPTS:
                pipeline.script_load(script.source)
            pipeline.execute()
        except redis.RedisError as error:
            disconnect(client)
            raise unavailable(error) from error
        return client

    def shared(self) -> redis.Redis:
        """A client with connections for any number of real threads, for other libraries."""
        return self._client(ANSWER_S, connections=None)

    def check(self, *, within_s: float) -> None:
        """`InvalidSettings` when it would lose logs or is of another format.

        `Unavailable` when it is away: it has `within_s` to connect, and for each answer.
        """
        client = self._client(min(ANSWER_S, within_s), connect_s=min(CONNECT_S, within_s))
        try:
            self._check(client)
        except redis.AuthenticationError as error:
            raise InvalidSettings(f"Redis at {self.shown} refuses the password: {error}") from error
        except redis.RedisError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise InvalidSettings(
                    f"Redis at {self.shown} has a certificate that nobody vouches for: {error}. "
                    "If it is your platform's own, set STREAMING_REDIS_VERIFY=0."
                ) from error
            raise unavailable(error) from error
        finally:
            disconnect(client)

    def _check(self, client: redis.Redis) -> None:
        check_info(
            client.info("server") | client.info("memory") | client.info("cluster"), self.shown
        )
        client.set(self.keys.format, FORMAT, nx=True)
        found = int(client.get(self.keys.format) or 0)
        if found > FORMAT:
            raise InvalidSettings(
                f"Redis at {self.shown} has logs of format {found}; this program knows {FORMAT}. "
                "Run the newer version, or set REDIS_URL to another server or database number."
            )

    def _client(
        self, answer_s: float, *, connect_s: float = CONNECT_S, connections: int | None = 1
    ) -> redis.Redis:
        options: dict[str, object] = {"max_connections": connections}
        if self._url.startswith("rediss://") and not self._verify:
            options |= {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
        return redis.Redis.from_url(
            self._url,
            socket_connect_timeout=connect_s,
            socket_timeout=answer_s,
            socket_keepalive=True,
            # A hidden retry would repeat an append.
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            redis_connect_func=_greet,
            **options,
        )


#: The sockets of this process's connections.
_sockets: WeakSet[socket.socket] = WeakSet()


def _greet(connection: Any) -> None:
    """Remember the socket of a new connection, then greet the server as the library would."""
    _sockets.add(connection._sock)  # noqa: SLF001 - there is no public name
    connection.on_connect()


def _leave_to_parent() -> None:
    """In a forked child: drop connections, which belong to the process that made them.

    Their descriptor numbers stay in use, so that closing the objects closes nothing else.
    """
    nowhere = os.open(os.devnull, os.O_RDWR)
    for each in list(_sockets):
        if each.fileno() >= 0:
            os.dup2(nowhere, each.fileno(), inheritable=False)
    os.close(nowhere)


os.register_at_fork(after_in_child=_leave_to_parent)


def run(
    client: redis.Redis, commands: Sequence[Command], *, heard: Callable[[], None]
) -> list[Reply]:
    """The results of commands in one pipeline, errors among them; raises when it is away.

    `heard` is called with each answer.
    """
    pipeline: Any = client.pipeline(transaction=False)
    parse = pipeline.parse_response

    def parse_and_tell(*args: object, **options: object) -> Reply:
        try:
            return parse(*args, **options)
        finally:
            heard()

    pipeline.parse_response = parse_and_tell
    for command in commands:
        pipeline.execute_command(*command)
    results: list[Reply] = pipeline.execute(raise_on_error=False)
    for each in results:
        if isinstance(each, redis.exceptions.NoScriptError):
            # Restarted behind a proxy: a new connection loads the scripts.
            raise redis.ConnectionError("the server has lost our scripts")
    return results


def check_info(info: Mapping[str, Reply], shown: str) -> None:
    """`InvalidSettings` for a server that is too old, in a cluster, or evicts logs when full."""
    version = str(info.get("redis_version", "0"))
    if tuple(map(int, version.split(".")[:2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise InvalidSettings(
            f"Redis at {shown} is version {version}; {oldest} or newer is needed. Upgrade it, or "
            "set REDIS_URL to another server."
        )
    if int(info.get("cluster_enabled", 0)):
        raise InvalidSettings(
            f"Redis at {shown} is a node of a cluster, which holds a part of the keys. Set "
            "REDIS_URL to a server without cluster mode; docs/scale.md says how far that carries."
        )
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy.startswith("allkeys"):
        raise InvalidSettings(
            f"Redis at {shown} has maxmemory-policy {policy}: when it is full it drops logs. Set "
            "maxmemory-policy to noeviction (CONFIG SET maxmemory-policy noeviction, or your "
            "platform's setting for it)."
        )


def is_away(error: BaseException) -> bool:
    """Whether the same command may succeed later."""
    if isinstance(error, redis.exceptions.NoScriptError):
        return True  # it was restarted: a new connection loads the scripts
    if isinstance(error, redis.ResponseError):
        return str(error).startswith(AWAY) or isinstance(
            error, (redis.exceptions.ReadOnlyError, redis.exceptions.OutOfMemoryError)
        )
    return isinstance(error, (redis.RedisError, OSError))


def unavailable(error: BaseException) -> Unavailable:
    """The error for callers."""
    return Unavailable(f"Redis cannot be used at present: {explain(error)}", code="storage_away")


def as_damage(error: BaseException) -> BaseException:
    """A key of another type as `Damaged`; any other error unchanged."""
    if isinstance(error, redis.ResponseError) and str(error).startswith("WRONGTYPE"):
        return Damaged(f"what Redis keeps of a job is not what was stored: {error}")
    return error


def explain(error: BaseException) -> str:
    return str(error).rstrip(".") or type(error).__name__


def disconnect(client: redis.Redis) -> None:
    """Close its connection; the next command makes another."""
    try:
        client.connection_pool.disconnect()
    except (redis.RedisError, OSError) as error:
        logger.debug("closing a connection to Redis: %s", error)
