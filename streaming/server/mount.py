"""One app with the extension on it, and the server that it shares with others on the same log.

A process has one server for a log, however many apps and calls of a factory name it. What is an
app's own (tasks, login, address, keys) is kept here, and put into the services that it is given.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

from flask import Flask, current_app, has_app_context, request
from werkzeug.test import EnvironBuilder

from streaming.concurrency.locks import Mutex
from streaming.concurrency.platform import native_lock
from streaming.config import Settings
from streaming.errors import InUse, InvalidSettings, StreamingError
from streaming.llm import make_model
from streaming.llm.base import Model
from streaming.running.origin import Origin
from streaming.running.task import Task, TaskRegistry
from streaming.server.deployment import Serving
from streaming.server.server import Server
from streaming.server.settings import settings_of, warn_of_names
from streaming.storage.base import Storage
from streaming.web.keys import KeyRing
from streaming.web.origins import Running, remember
from streaming.web.services import EXTENSION, Authorize, Services

logger = logging.getLogger(__name__)


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
        self._services: tuple[Services, Services] | None = None
        self._woken = False
        _mounts.append(weakref.ref(self))

    @property
    def settings(self) -> Settings:
        """As the app and the environment say now; `InvalidSettings` for a bad one."""
        return settings_of(self.app) if self._given is None else self._given

    @property
    def server(self) -> Server:
        """The server of the app's log, made when it is first asked for; it starts by itself."""
        with self._lock:
            if self._server is None:
                self._settings = settings = self._serving.fit(self.settings)
                warn_of_names(self.app.config, settings)
                self.tasks.load(settings.tasks)
                self._server = _server_for(settings, self._make_server)
                shared = self._server.tasks
                assert isinstance(shared, SharedTasks)
                self.place = shared.attach(self)
            return self._server

    @property
    def started(self) -> bool:
        """Whether the server has started."""
        return self._server is not None and self._server.started

    def services(self) -> Services:
        """The parts of the server as this app has them, started by the first who asks."""
        server = self.server
        if not server.started:
            self._serving.check(server.settings)
        found = server.services()
        if self._services is None or self._services[0] is not found:
            settings, said = self._settings, self._settings.open_submit
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
    def instead(self, **changes: Any) -> Iterator[Server]:
        """Within the block the app has another server, whose settings differ so; for tests."""
        before = self._given, self._server, self._services, self._woken, self.place
        settings = self.settings.model_copy(update=changes)
        self._given, self._server, self._services, self._woken = settings, None, None, True
        try:
            yield self.server
        finally:
            self._given, self._server, self._services, self._woken, self.place = before

    def serve(self, serving: Serving) -> None:
        """Learn how this process is served, before its server is made; for server hooks."""
        self._serving, self._woken = serving, True

    def wake(self, *_: Any, **__: Any) -> None:
        """Start with the first request of any kind: interrupted jobs go on, settings are read."""
        if self._woken or (self.app.testing and not request.path.startswith(self.base_url)):
            return
        self._woken = True
        self._serving = Serving.of_request()
        try:
            server = self.server
            self._serving.check(server.settings)
            server.start(timeout=0)
        except InUse as error:
            if not error.by_predecessor:
                logger.critical("cannot start: %s", error)
        except StreamingError as error:  # the app's own pages do without; ours will say so
            logger.critical("cannot start: %s", error)

    def inside(self, owner: str, origin: Origin) -> AbstractContextManager[None]:
        """The app's context as an attempt has it: `g` of its own, URLs as its request had them."""
        return _app_context(self.app, owner, origin)

    def _make_server(self, settings: Settings) -> Server:
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


class SharedTasks(TaskRegistry):
    """The tasks of all apps of one server. Each app runs its own, in its own context."""

    def __init__(self) -> None:
        super().__init__()
        self._mounts: list[Mount] = []

    def attach(self, mount: Mount) -> int:
        """Have the app's tasks run here; its place among the apps, which its jobs remember."""
        self._mounts.append(mount)
        return len(self._mounts) - 1

    def find(self, name: str) -> Task | None:
        """The present app's, in a request; else the one that runs as the app that took the job."""
        here = _present()
        if here in self._mounts:
            assert here is not None
            return here.tasks.find(name)
        found = [task for mount in self._mounts if (task := mount.tasks.find(name)) is not None]
        if not found:
            return None
        same = all(task is found[0] for task in found)
        return found[0] if same else _as_present_app_has_it(found[0])

    def __iter__(self) -> Iterator[Task]:
        here = _present()
        mounts = [here] if here in self._mounts and here is not None else self._mounts
        found = {task.name: task for mount in reversed(mounts) for task in mount.tasks}
        return iter(sorted(found.values(), key=lambda task: task.name))

    def around(self, storage: Storage, job: str) -> AbstractContextManager[None]:
        """The context in which an attempt at the job runs: of the app that took it."""
        row = storage.index.get(job)
        assert row is not None
        origin = Origin.of(storage.log.records(job))
        return self._mount_of(origin, row.task).inside(row.owner, origin)

    def _mount_of(self, origin: Origin, task: str) -> Mount:
        """The app that took a job; after a restart, the one in its place, or that has the task."""
        able = [mount for mount in self._mounts if mount.tasks.find(task) is not None]
        named = [mount for mount in able if mount.app.name == origin.app]
        placed = [mount for mount in named if mount.place == origin.place]
        return (placed or named or able or self._mounts)[0]


def _present() -> Mount | None:
    """The present app's mount, in a context of an app that has one."""
    found: Mount | None = current_app.extensions.get(EXTENSION) if has_app_context() else None
    return found


def _as_present_app_has_it(task: Task) -> Task:
    """A task whose code is looked up when it runs: several apps have one of its name."""

    def own() -> Task:
        here = _present()
        return (here.tasks.find(task.name) if here is not None else None) or task

    def function(ctx: Any, input: Any) -> Any:
        return own().function(ctx, input)

    def basic(ctx: Any, input: Any) -> Any:
        found = own()
        return (found.basic or found.function)(ctx, input)

    return replace(task, function=function, basic=basic if task.basic is not None else None)


#: All apps of this process that have the extension, as long as they are there.
_mounts: list[weakref.ref[Mount]] = []
#: The servers of this process by the log that they keep: a log has one.
_servers: weakref.WeakValueDictionary[str, Server] = weakref.WeakValueDictionary()
_servers_lock = native_lock()


def mounts() -> list[Mount]:
    """The apps of this process that have the extension."""
    return [mount for each in _mounts if (mount := each()) is not None]


def _server_for(settings: Settings, make: Callable[[Settings], Server]) -> Server:
    """The server of the settings' log: that of another app, or a new one."""
    if settings.log_url == "memory://":
        return make(settings)
    path = settings.sqlite_path
    name = settings.log_url if path is None else str(path.absolute())
    with _servers_lock:
        found = _servers.get(name)
        if found is None or found.ended:
            found = _servers[name] = make(settings)
        return found


def mount_of(app: Flask) -> Mount:
    """The app's mount; `InvalidSettings` where the app has no extension."""
    found = app.extensions.get(EXTENSION)
    if not isinstance(found, Mount):
        raise InvalidSettings(f"the Flask app {app.name!r} has no Streaming on it")
    return found


def servers_of(found: Iterable[Mount]) -> list[Server]:
    """Their servers, each once."""
    return list({id(mount.server): mount.server for mount in found}.values())
