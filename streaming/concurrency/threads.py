"""Real threads, also where gevent has patched `threading`."""

from __future__ import annotations

import logging
import threading
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

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Thread:
    """A real, named daemon thread, also where gevent has patched `threading`."""

    def __init__(self, target: Callable[[], object], *, name: str) -> None:
        self.name = name
        self._target = target
        self._done = Latch()

    def start(self) -> Thread:
        if patched():
            start_new_thread(self._run, ())
        else:
            threading.Thread(target=self._run, name=self.name, daemon=True).start()
        return self

    def join(self, timeout: float | None = None) -> bool:
        """Wait for its end; whether it has ended."""
        return self._done.wait(timeout)

    @property
    def alive(self) -> bool:
        return not self._done.is_open

    def _run(self) -> None:
        native = patched()
        ident = get_ident()
        if native:
            native_idents.add(ident)
            threading.current_thread().name = self.name
        try:
            self._target()
        except Exception:  # the top of a thread: nobody else would hear of it
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


def offload(call: Callable[[], T]) -> T:
    """Run a call that blocks on a disk, off the event loop where there is one."""
    if not in_greenlet():
        return call()
    from gevent import get_hub

    value, error = get_hub().threadpool.apply(_as_native, (call,))
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
