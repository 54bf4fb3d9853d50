"""Streams that a task reads itself: a stop ends them at once, and their server sees them close.

A `for` loop over an SDK's stream blocks in a socket's `recv`. Closing the stream from another
thread does not wake it; shutting the socket down does, and the server notices, too. So a stop first
shuts down the sockets of what the task gave to `ctx.closing`, and of the HTTP exchange that its
thread is waiting for; the thread that reads the stream then closes it.
"""

from __future__ import annotations

import contextlib
import gc
import inspect
import io
import logging
import os
import socket
import sys
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any, Generic, Protocol, TypeGuard, TypeVar

from streaming.concurrency.locks import Latch
from streaming.concurrency.platform import get_ident, in_greenlet, native_lock, original
from streaming.concurrency.stop_signal import StopSignal
from streaming.concurrency.threads import Thread

logger = logging.getLogger(__name__)

T_co = TypeVar("T_co", covariant=True)
V = TypeVar("V")

#: Not gevent's: a shutdown by another thread must not touch this thread's event loop.
_Handle: type[socket.socket] = original("socket", "socket")
#: How deep a socket may lie below its stream, in objects, and how many objects are searched.
DEPTH, OBJECTS = 12, 400
#: Attributes by which SDKs and HTTP libraries lead to their socket. Clients and pools are left
#: out: they lead to the sockets of others.
PATH = (
    "response", "_response", "http_response", "_raw_stream", "stream", "_stream",  # SDKs, httpx
    "_httpcore_stream", "_connection", "_network_stream", "_iterator", "iterator",
    "raw", "_original_response", "_fp", "fp",  # requests, urllib3, http.client
    "_sock", "sock", "_socket",
)  # fmt: skip
#: Prefixes of modules whose code on a thread's stack means an HTTP exchange.
HTTP = ("http.client", "urllib3.", "httpcore", "httpx", "h11.", "requests.", "websocket.")
#: How many frames of a thread's stack are searched, from the innermost.
CALLS = 40
#: Held while threads' stacks are searched.
_looking = native_lock()
#: Seconds for which an SDK's retries are cut off as well, and between two checks for one.
AGAIN_S, LOOK_S = 5.0, 0.05


class _Socket(Protocol):
    """Of the standard library, of gevent, or in TLS."""

    def fileno(self) -> int: ...

    def getpeername(self) -> object: ...


class Closing(Generic[T_co]):
    """A stream that ends with the job: iterated, or within a `with` block."""

    def __init__(self, stop: StopSignal, stream: T_co) -> None:
        self._stop = stop
        self._stream = stream
        self._held = contextlib.ExitStack()

    def __enter__(self) -> T_co:
        # Last in, first out: the stream is closed while a stop may still shut it down.
        self._held.enter_context(self._stop.closing(lambda: shut_down(self._stream)))
        self._held.callback(_close, self._stream)
        return self._stream

    def __exit__(self, *_raised: object) -> None:
        try:
            self._held.close()
        except Exception:
            self._stop.check()  # it was shut down: an error of its closing is no news
            raise
        self._stop.check()

    def __iter__(self: Closing[Iterable[V]]) -> Iterator[V]:
        try:
            with self as stream:
                yield from stream
        except Exception:
            self._stop.check()  # the socket's end, as the SDK reports it
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def http_ends_with(stop: StopSignal) -> Iterator[None]:
    """Within the block, a stop ends the HTTP exchange that this thread is waiting for just then.

    Nothing else: database connections and the like are the task's to close. An SDK that retries
    with the same server is cut off again.
    """
    if in_greenlet():  # greenlets share a thread: which of them waits for what is unknown
        yield
        return
    thread, over = get_ident(), Latch()

    def end() -> None:
        peer = _shut_exchange(thread, None)
        if peer is not None:
            Thread(lambda: _shut_again(thread, peer, over), name="closing").start()

    try:
        with stop.closing(end):
            yield
    finally:
        over.open()


def shut_down(stream: object) -> bool:
    """Shut down the socket below a stream, from any thread; whether one was found."""
    found = _socket_below(stream)
    return found is not None and _shut(found)


def _shut_again(thread: int, peer: object, over: Latch) -> None:
    for _ in range(int(AGAIN_S / LOOK_S)):
        if over.wait(LOOK_S):
            return
        _shut_exchange(thread, peer)


def _shut_exchange(thread: int, peer: object) -> object:
    """End the exchange that the thread is waiting for; its peer, or None if there was none."""
    found, is_http = None, False
    frame = _innermost(thread)
    for _ in range(CALLS):
        if frame is None:
            break
        known = frame.f_locals
        for name in ("self", "sock"):
            found = found or _socket_below(known.get(name))
        is_http = is_http or str(frame.f_globals.get("__name__")).startswith(HTTP)
        frame = frame.f_back
    if found is None or not is_http:
        return None
    with contextlib.suppress(OSError):  # closed meanwhile
        other = found.getpeername()
        if peer in (None, other) and _shut(found):
            return other
    return None


def _innermost(thread: int) -> FrameType | None:
    """The call that a thread is in.

    No garbage is collected meanwhile: the interpreter holds its list of threads, and before Python
    3.12 what a collection lets go of may wait for that list for ever (oddity 19).
    """
    with _looking:
        collects = gc.isenabled()
        gc.disable()
        try:
            return sys._current_frames().get(thread)  # noqa: SLF001 - the documented way to look
        finally:
            if collects:
                gc.enable()


def _socket_below(stream: object) -> _Socket | None:
    """The nearest socket below a stream, by the attributes of `PATH`."""
    seen: set[int] = set()
    layer = [stream]
    for _ in range(DEPTH):
        below: list[object] = []
        for each in layer:
            if each is None or id(each) in seen or len(seen) > OBJECTS:
                continue
            seen.add(id(each))
            if _is_socket(each):
                return each
            below += _parts(each)
        layer = below
    return None


def _parts(thing: object) -> Iterator[object]:
    if inspect.isgenerator(thing):
        yield from (thing.gi_frame.f_locals.values() if thing.gi_frame is not None else ())
        yield thing.gi_yieldfrom
    elif isinstance(thing, io.BufferedReader):
        yield thing.raw
    else:
        own = getattr(thing, "__dict__", {})
        if not isinstance(own, dict) or _is_shared(own.get("extensions")):
            return
        slots = getattr(type(thing), "__slots__", ())
        for name in PATH:
            yield own.get(name)
            if name in slots:
                yield getattr(thing, name, None)


def _is_shared(extensions: object) -> bool:
    """Whether an httpx response shares its connection with others (HTTP/2)."""
    return isinstance(extensions, dict) and extensions.get("http_version") == b"HTTP/2"


def _is_socket(thing: object) -> TypeGuard[_Socket]:
    kind = type(thing)
    return hasattr(kind, "shutdown") and hasattr(kind, "recv") and hasattr(kind, "fileno")


def _shut(found: _Socket) -> bool:
    """Through a duplicate of the descriptor: the reading thread is using the original, even TLS."""
    try:
        handle = _Handle(fileno=os.dup(found.fileno()))
    except (OSError, ValueError):  # closed meanwhile
        return False
    try:
        handle.shutdown(socket.SHUT_RDWR)
    except OSError:  # the server closed it first
        return False
    finally:
        handle.close()
    return True


def _close(stream: object) -> None:
    close = getattr(stream, "close", None)
    if callable(close):
        close()
