"""Streams long-running AI work: one job, one log, many readers."""

from importlib import import_module
from typing import TYPE_CHECKING

from streaming.version import VERSION

if TYPE_CHECKING:
    from streaming.config import Settings
    from streaming.errors import (
        Cancelled,
        Conflict,
        InvalidInput,
        InvalidSettings,
        NotFound,
        Stop,
        StreamingError,
        TaskError,
        TimedOut,
        TooMany,
        Unavailable,
    )
    from streaming.running.context import JobContext
    from streaming.running.task import Task, task
    from streaming.server.extension import Streaming, server_of
    from streaming.server.hosting import role
    from streaming.web.principal import Principal

__version__ = VERSION

#: Loaded when they are used: a client, and the child process of a computation, need no server.
_HOMES = {
    "Settings": "config",
    "JobContext": "running.context",
    "Principal": "web.principal",
    "Streaming": "server.extension",
    "role": "server.hosting",
    "server_of": "server.extension",
    "Task": "running.task",
    "task": "running.task",
}

__all__ = [
    "Cancelled",
    "Conflict",
    "InvalidInput",
    "InvalidSettings",
    "JobContext",
    "NotFound",
    "Principal",
    "Settings",
    "Stop",
    "Streaming",
    "StreamingError",
    "Task",
    "TaskError",
    "TimedOut",
    "TooMany",
    "Unavailable",
    "role",
    "server_of",
    "task",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
