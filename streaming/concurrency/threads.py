"""Real threads, also where gevent has patched `threading`."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar, cast

from streaming.concurrency.locks import Latch
from streaming.concurrency.platform import (
    get_ident,
    in_greenlet,
    native_idents,
    patched,
    start_new_thread,
)
from streaming.errors import Unavailable

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Thread:
    """A real, named daemon thread, also where gevent has patched `threading`.

    Its owner ends it and then joins it: one that has ended without is `dead`.
    """

    def __init__(self, target: Callable[[], object], *, name: str) -> None:
        self.name = name
        self._target = target
        self._started = False
        self._joined = False
        self._done = Latch()
        #: Where gevent has not patched `threading`.
        self._plain: threading.Thread | None = None
        #: The system's number of it, once it runs.
        self.ident: int | None = None

    def start(self) -> Thread:
        """`Unavailable` when the system gives no thread: then it may be tried again."""
        try:
            if patched():
                start_new_thread(self._run, ())
            else:
                self._plain = threading.Thread(target=self._run, name=self.name, daemon=True)
                self._plain.start()
        except (RuntimeError, MemoryError) as error:
            self._plain = None
            raise no_thread(self.name) from error
        self._started = True
        return self

    def join(self, timeout: float | None = None) -> bool:
        """Wait for its end; whether it has ended. At once when it was never started."""
        self._joined = True
        if not self._started:
            return True
        until = None if timeout is None else time.monotonic() + timeout
        if self.ident == get_ident():  # it ends itself: behind what it does at present
            return True
        ended = self._done.wait(timeout)
        if ended and self._plain is not None:
            self._plain.join(None if until is None else max(0.0, until - time.monotonic()))
        return ended

    @property
    def alive(self) -> bool:
        return not self._done.is_open

    @property
    def dead(self) -> bool:
        """Whether it has ended although nobody has asked it to."""
        return self._started and self._done.is_open and not self._joined

    def _run(self) -> None:
        native = patched()
        ident = self.ident = get_ident()
        if native:
            native_idents.add(ident)
            threading.current_thread().name = self.name
        try:
            self._target()
        except BaseException:  # the top of a thread: nobody else would report it
            logger.exception("thread %s ended with an error", self.name)
        finally:
            if native:
                native_idents.discard(ident)
                _close_event_loop()
            self._done.open()


def _close_event_loop() -> None:
    """End the event loop that patched sockets have given this thread: it holds descriptors."""
    from gevent._hub_local import get_hub_if_exists

    hub = get_hub_if_exists()
    if hub is not None:
        hub.destroy(destroy_loop=True)


def no_thread(name: str) -> Unavailable:
    """What is said when the system gives no thread."""
    return Unavailable(f"the system gives no thread for {name}", code="no_threads")


def offload(call: Callable[[], T]) -> T:
    """Run a call that blocks on a disk, off the event loop where there is one.

    `Unavailable` when the system gives no thread for it.
    """
    if not in_greenlet():
        return call()
    from gevent import get_hub

    try:
        value, error = get_hub().threadpool.apply(_as_native, (call,))
    except RuntimeError as refused:  # the call's own errors are returned
        raise no_thread("a look at the disk") from refused
    if error is not None:
        raise error
    return cast(T, value)


def _as_native(call: Callable[[], T]) -> tuple[T | None, BaseException | None]:
    """The result or the error of a call: gevent would print an error that leaves its thread."""
    native_idents.add(get_ident())
    try:
        return call(), None
    except BaseException as error:  # noqa: BLE001 - the caller raises it
        return None, error
