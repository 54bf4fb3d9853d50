"""Streams long-running AI work: one job, one log, many readers."""

from streaming.config import Settings
from streaming.context import JobContext
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
from streaming.extension import Streaming, server_of
from streaming.tasks.registry import Task, task

__all__ = [
    "Cancelled",
    "Conflict",
    "InvalidInput",
    "InvalidSettings",
    "JobContext",
    "NotFound",
    "Settings",
    "Stop",
    "Streaming",
    "StreamingError",
    "Task",
    "TaskError",
    "TimedOut",
    "TooMany",
    "Unavailable",
    "server_of",
    "task",
]
