"""The tasks of all apps that share a server: each runs its own, in its own context."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import Any, Protocol

from flask import Flask, current_app, has_app_context

from streaming.running.origin import Origin
from streaming.running.task import Task, TaskRegistry
from streaming.running.traces import span_of_attempt
from streaming.storage.base import Storage
from streaming.web.services import EXTENSION


class SharingApp(Protocol):
    """An app of the server: its tasks, and the context in which they run."""

    app: Flask
    tasks: TaskRegistry
    #: Its number among the apps of the server; the app's jobs record it.
    place: int

    def inside(self, owner: str, origin: Origin) -> AbstractContextManager[None]:
        """The app's context as an attempt has it."""


class SharedTasks(TaskRegistry):
    """The tasks of all apps of one server. Each app runs its own, in its own context."""

    def __init__(self) -> None:
        super().__init__()
        #: By place. Apps that have left stay: jobs that they accepted still run as theirs.
        self._apps: list[SharingApp] = []
        self._left: list[SharingApp] = []

    def attach(self, app: SharingApp) -> int:
        """Add an app and its tasks; its place among the apps, which its jobs record."""
        self._apps.append(app)
        return len(self._apps) - 1

    def detach(self, app: SharingApp) -> bool:
        """Remove an app; whether others remain."""
        if app not in self._left:
            self._left.append(app)
        return any(each not in self._left for each in self._apps)

    def find(self, name: str) -> Task | None:
        """In a request, the present app's task; else one that runs as the app of its job."""
        here = _present()
        if here in self._apps:
            assert here is not None
            return here.tasks.find(name)
        found = [task for each in self._apps if (task := each.tasks.find(name)) is not None]
        if not found:
            return None
        same = all(task is found[0] for task in found)
        return found[0] if same else _as_present_app_has_it(found[0])

    def __iter__(self) -> Iterator[Task]:
        here = _present()
        apps = [here] if here in self._apps and here is not None else self._apps
        found = {task.name: task for each in reversed(apps) for task in each.tasks}
        return iter(sorted(found.values(), key=lambda task: task.name))

    def around(self, storage: Storage, job: str) -> AbstractContextManager[None]:
        """The context for an attempt at the job: that of the app that accepted it."""
        row = storage.index.get(job)
        assert row is not None
        origin = Origin.of(storage.log.records(job))
        return _entered(
            self._app_of(origin, row.task).inside(row.owner, origin),
            span_of_attempt(row.task, job, row.attempt, origin.trace),
        )

    def _app_of(self, origin: Origin, task: str) -> SharingApp:
        """The app that accepted a job; after a restart, the app in its place, or with the task."""
        able = [each for each in self._apps if each.tasks.find(task) is not None]
        named = [each for each in able if each.app.name == origin.app]
        placed = [each for each in named if each.place == origin.place]
        staying = [each for each in named if each not in self._left]
        return (placed or staying or named or able or self._apps)[0]


def _present() -> SharingApp | None:
    """The present app, in a context of an app that has one."""
    found: SharingApp | None = current_app.extensions.get(EXTENSION) if has_app_context() else None
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


@contextmanager
def _entered(*contexts: AbstractContextManager[None]) -> Iterator[None]:
    """All of them, the first one outermost."""
    with ExitStack() as stack:
        for each in contexts:
            stack.enter_context(each)
        yield
