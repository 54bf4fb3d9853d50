"""One app with the extension on it, and the server that it shares with others on the same log.

A process has one server for a log, however many apps and calls of a factory name it. What is an
app's own (tasks, login, address, keys) is kept here, and put into the services that it is given.
"""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

from flask import Flask, request
from werkzeug.test import EnvironBuilder

from streaming.concurrency.locks import Mutex
from streaming.concurrency.platform import native_lock
from streaming.config import Settings
from streaming.errors import Closed, InUse, InvalidSettings, NotThere, StreamingError
from streaming.llm import make_model
from streaming.llm.base import Model
from streaming.running.origin import Origin
from streaming.running.task import TaskRegistry
from streaming.server.deployment import Serving
from streaming.server.server import Server
from streaming.server.settings import settings_of, warn_of_names
from streaming.server.shared_tasks import SharedTasks
from streaming.web.keys import KeyRing
from streaming.web.origins import Running, remember
from streaming.web.services import EXTENSION, Authorize, Services

logger = logging.getLogger(__name__)


#: Seconds that a request waits, without hooks, for a process that still has the log: a reload takes
#: no longer, and a sibling, which would keep it, is told of at once.
LAZY_S = 5.0


class Mount:
    """What `app.extensions` has. Settings are read, and the server is made, when it is needed."""

    def __init__(
        self,
        app: Flask,
        *,
        base_url: str,
        settings: Settings | None,
        model: Model | None,
        authorize: Authorize | None,
        open_submit: bool,
    ) -> None:
        self.app = app
        self.base_url = base_url
        self.tasks = TaskRegistry()
        #: Names of tasks that belong to this app: another call of its factory has its own.
        self.owned: set[str] = set()
        self.place = 0
        self._given = settings
        self._model = model
        self._authorize = authorize
        self._open_submit = open_submit
        self._serving = Serving()
        self._lock = Mutex()
        self._server: Server | None = None
        #: As they were when the server was made.
        self._settings: Settings | None = None
        self._services: tuple[Services, Services] | None = None
        self._woken = False
        self._closed = False
        #: What must hold before the server is made; they raise `InvalidSettings`.
        self.checks: list[Callable[[], None]] = []
        #: Whether gunicorn's hooks start and drain the server.
        self._hooked = False
        _mounts.add(self)

    @property
    def settings(self) -> Settings:
        """As the app and the environment say now; `InvalidSettings` for a bad one."""
        return settings_of(self.app) if self._given is None else self._given

    @property
    def server(self) -> Server:
        """The server of the app's log, made when it is first asked for; it starts by itself.

        `Closed` once the app has left it.
        """
        made = self._server
        if made is not None and not self._closed:  # each request asks some times
            return made
        with self._lock:
            if self._closed:
                raise Closed("the app has left its server (Streaming.close)")
            if self._server is None:
                for check in self.checks:
                    check()
                self._settings = settings = self._serving.fit(self.settings)
                warn_of_names(self.app.config, settings)
                self.tasks.load(settings.tasks)
                self._server, self.place = _join(self, settings)
            return self._server

    @property
    def closed(self) -> bool:
        """Whether the app has left its server."""
        return self._closed

    @property
    def started(self) -> bool:
        """Whether the server has started."""
        return self._server is not None and self._server.started

    def services(self) -> Services:
        """The parts of the server as this app has them, started by the first who asks."""
        server = self.server
        if not server.started:
            self._serving.check(server.settings)
            if not self._hooked:
                # For Redis nobody waits: whoever comes next looks whether it is there.
                server.start(timeout=0 if server.settings.shared else LAZY_S)
        found = server.services()
        if self._services is None or self._services[0] is not found:
            settings = self._settings or found.settings
            said = settings.open_submit
            self._services = (
                found,
                replace(
                    found,
                    settings=settings,
                    tasks=self.tasks,
                    base_url=self.base_url,
                    authorize=self._authorize,
                    open_submit=self._open_submit if said is None else said,
                    keys=KeyRing(settings),
                ),
            )
        return self._services[1]

    @contextmanager
    def instead(self, *, model: Model | None = None, **changes: Any) -> Iterator[Server]:
        """Within the block the app has another server, whose settings differ so; for tests.

        `model`: in place of the app's.
        """
        before = (self._given, self._server, self._services, self._woken, self.place)
        model_before, self._model = self._model, model or self._model
        settings_before = self._settings
        settings = self.settings.model_copy(update=changes)
        self._given, self._server, self._services, self._woken = settings, None, None, True
        try:
            yield self.server
        finally:
            self._given, self._server, self._services, self._woken, self.place = before
            self._settings, self._model = settings_before, model_before

    def close(self, *, within_s: float | None = None) -> None:
        """The app leaves its server, which is closed where no other app is on it."""
        with self._lock:
            server, self._closed = self._server, True
        if server is not None and _leave(self, server):
            server.close(within_s=within_s)

    def serve(self, serving: Serving) -> None:
        """Learn how this process is served, before its server is made; for server hooks."""
        self._serving, self._woken, self._hooked = serving, True, True

    def wake(self, *_: object, **__: object) -> None:
        """Start with the first request of any kind: interrupted jobs go on, settings are read."""
        if self._woken or (self.app.testing and not request.path.startswith(self.base_url)):
            return
        self._woken = True
        self._serving = Serving.of_request()
        try:
            self._start()
        except InUse as error:
            if not error.by_predecessor:
                logger.critical("cannot start: %s", error)
        except StreamingError as error:  # the app's own pages do without; ours will say so
            logger.critical("cannot start: %s", error)

    def missing(self) -> str | None:
        """Why it has not started, or None; where no hooks start it, it is tried now."""
        try:
            if not self._hooked and not self.started:
                self._start()
        except NotThere as error:
            return f"storage: {error.detail}"
        except StreamingError:  # a request for the service itself is told of it
            pass
        return None if self.started else "storage is not open"

    def inside(self, owner: str, origin: Origin) -> AbstractContextManager[None]:
        """The app's context as an attempt has it: `g` of its own, URLs as its request had them."""
        return _app_context(self.app, owner, origin)

    def _start(self) -> None:
        server = self.server
        self._serving.check(server.settings)
        server.start(timeout=0)

    def make_server(self, settings: Settings) -> Server:
        """The server of a log that no other app of the process is on."""
        shared = SharedTasks()
        return Server(
            settings,
            tasks=shared,
            model=self._model or make_model(settings),
            base_url=self.base_url,
            around=shared.around,
        )


@contextmanager
def _app_context(app: Flask, owner: str, origin: Origin) -> Iterator[None]:
    with app.app_context() as context:
        if origin.root:
            environ = EnvironBuilder(base_url=origin.root).get_environ()
            context.url_adapter = app.create_url_adapter(app.request_class(environ))
        remember(Running(owner, origin))
        yield


#: All apps of this process that have the extension, as long as they are there.
_mounts: weakref.WeakSet[Mount] = weakref.WeakSet()
#: The servers by process and the log that they keep: a log has one.
_servers: weakref.WeakValueDictionary[tuple[int, str], Server] = weakref.WeakValueDictionary()
_servers_lock = native_lock()


def mounts() -> list[Mount]:
    """The apps of this process that have the extension."""
    return list(_mounts)


def _join(mount: Mount, settings: Settings) -> tuple[Server, int]:
    """The server of the settings' log, that of other apps or a new one; the app's place in it."""
    path = settings.sqlite_path
    name = settings.log_url if path is None else str(path.resolve())
    key = os.getpid(), name  # a forked child has nothing open, whatever it remembers
    with _servers_lock:
        server = _servers.get(key)
        if server is None or server.ended:
            server = mount.make_server(settings)
            if name != "memory://":  # which is the app's own
                _servers[key] = server
        return server, _shared(server).attach(mount)


def _leave(mount: Mount, server: Server) -> bool:
    """The app leaves its server; whether it was the last one, who is to close it."""
    with _servers_lock:
        if _shared(server).detach(mount):
            return False
        for key in [key for key, each in _servers.items() if each is server]:
            del _servers[key]
        return True


def _shared(server: Server) -> SharedTasks:
    assert isinstance(server.tasks, SharedTasks)
    return server.tasks


def mount_of(app: Flask) -> Mount:
    """The app's mount; `InvalidSettings` where the app has no extension."""
    found = app.extensions.get(EXTENSION)
    if not isinstance(found, Mount):
        raise InvalidSettings(f"the Flask app {app.name!r} has no Streaming on it")
    return found


def servers_of(found: Iterable[Mount]) -> list[Server]:
    """Their servers, each once; of apps that have left theirs, none."""
    return list({id(each.server): each.server for each in found if not each.closed}.values())
