"""The tasks of all apps that share a server: each runs its own, in its own context."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flask import current_app, has_app_context

from streaming.running.origin import Origin
from streaming.running.task import Task, TaskRegistry
from streaming.running.traces import span_of_attempt
from streaming.storage.base import Storage
from streaming.web.services import EXTENSION

if TYPE_CHECKING:
    from streaming.server.mount import Mount


class SharedTasks(TaskRegistry):
    """The tasks of all apps of one server. Each app runs its own, in its own context."""

    def __init__(self) -> None:
        super().__init__()
        #: By place. Those that have left stay: the jobs that they took still run, as them.
        self._mounts: list[Mount] = []
        self._left: list[Mount] = []

    def attach(self, mount: Mount) -> int:
        """Have the app's tasks run here; its place among the apps, which its jobs remember."""
        self._mounts.append(mount)
        return len(self._mounts) - 1

    def detach(self, mount: Mount) -> bool:
        """The app leaves; whether others are still there."""
        if mount not in self._left:
            self._left.append(mount)
        return any(each not in self._left for each in self._mounts)

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
        return _entered(
            self._mount_of(origin, row.task).inside(row.owner, origin),
            span_of_attempt(row.task, job, row.attempt, origin.trace),
        )

    def _mount_of(self, origin: Origin, task: str) -> Mount:
        """The app that took a job; after a restart, the one in its place, or that has the task."""
        able = [mount for mount in self._mounts if mount.tasks.find(task) is not None]
        named = [mount for mount in able if mount.app.name == origin.app]
        placed = [mount for mount in named if mount.place == origin.place]
        staying = [mount for mount in named if mount not in self._left]
        return (placed or staying or named or able or self._mounts)[0]


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


@contextmanager
def _entered(*contexts: AbstractContextManager[None]) -> Iterator[None]:
    """All of them, the first one outermost."""
    with ExitStack() as stack:
        for each in contexts:
            stack.enter_context(each)
        yield
