"""The Python client: start jobs, watch them over any number of disconnects, steer them.

`Client` blocks and needs requests; `AsyncClient` is for asyncio and needs httpx.
"""

from typing import TYPE_CHECKING

from streaming.client.errors import (
    ClientError,
    JobCancelled,
    JobEnded,
    JobFailed,
    ProblemError,
    ServerAway,
    WaitTimeout,
)
from streaming.client.fold import fold
from streaming.client.steps import TRANSPORTS, Stats, Transport
from streaming.client.sync import Client
from streaming.client.types import Event, Job
from streaming.client.watch import Watch
from streaming.errors import missing_extra
from streaming.events.vocabulary import ENDED, TERMINAL

if TYPE_CHECKING:
    from streaming.client.aio import AsyncClient
    from streaming.client.aio_watch import AsyncWatch

__all__ = [
    "ENDED",
    "TERMINAL",
    "TRANSPORTS",
    "AsyncClient",
    "AsyncWatch",
    "Client",
    "ClientError",
    "Event",
    "Job",
    "JobCancelled",
    "JobEnded",
    "JobFailed",
    "ProblemError",
    "ServerAway",
    "Stats",
    "Transport",
    "WaitTimeout",
    "Watch",
    "fold",
]


def __getattr__(name: str) -> object:
    """The async client, loaded when it is used: it needs httpx."""
    if name not in ("AsyncClient", "AsyncWatch"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from streaming.client import aio, aio_watch
    except ModuleNotFoundError as error:
        if error.name != "httpx":
            raise
        raise ImportError(missing_extra("httpx", "async")) from error
    return aio.AsyncClient if name == "AsyncClient" else aio_watch.AsyncWatch
