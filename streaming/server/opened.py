"""The logs that this process has open: each once, however many apps and factory calls name it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from streaming.concurrency.locks import Mutex
from streaming.concurrency.platform import native_lock
from streaming.config import Settings
from streaming.server.parts import Parts


@dataclass(eq=False, slots=True)
class _Opened:
    #: Held while the log is opened: others who want it wait.
    opening: Mutex = field(default_factory=Mutex)
    parts: Parts | None = None
    #: Who uses it.
    users: set[int] = field(default_factory=set)


class OpenedLogs:
    """Hands out the parts of each log."""

    def __init__(self) -> None:
        self._lock = native_lock()
        self._logs: dict[tuple[int, str], _Opened] = {}

    def take(self, settings: Settings, user: object, build: Callable[[], Parts]) -> Parts:
        """The parts of the log that the settings name; built by the first who asks."""
        name = _identity(settings, user)
        while True:
            with self._lock:
                opened = self._logs.setdefault(name, _Opened())
                opened.users.add(id(user))
            with opened.opening:
                if self._logs.get(name) is not opened:  # closed, or not opened, meanwhile
                    continue
                try:
                    opened.parts = opened.parts or build()
                except BaseException:
                    with self._lock:
                        del self._logs[name]
                    raise
                return opened.parts

    def give_back(self, parts: Parts, user: object) -> bool:
        """A user leaves; whether it was the last one, who is to end the parts."""
        return self._remove(parts, {id(user)})

    def close(self, parts: Parts) -> bool:
        """All users leave; False when they have left before."""
        return self._remove(parts, None)

    def _remove(self, parts: Parts, users: set[int] | None) -> bool:
        with self._lock:
            for name, opened in self._logs.items():
                if opened.parts is parts:
                    opened.users -= opened.users if users is None else users
                    if not opened.users:
                        del self._logs[name]
                    return not opened.users
        return False


def _identity(settings: Settings, user: object) -> tuple[int, str]:
    """What names a log in this process; one in memory is each app's own.

    A forked child has nothing open, whatever it remembers.
    """
    if settings.shared:
        return os.getpid(), settings.log_url
    if settings.sqlite_path is None:
        return os.getpid(), f"memory of {id(user)}"
    return os.getpid(), str(settings.sqlite_path.resolve())
