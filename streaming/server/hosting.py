"""Makes the runner of a server: in task hosts, or in threads."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

from streaming.config import Settings
from streaming.jobs.registry import JobRegistry
from streaming.running.attempt import Attempt
from streaming.running.dependencies import Dependencies
from streaming.running.host_attempt import HostedAttempt
from streaming.running.host_process import HostedApp
from streaming.running.host_runner import HostRunner
from streaming.running.host_submits import runner_methods
from streaming.running.hosts import Hosts
from streaming.running.runner import Runner
from streaming.running.threads import Running, ThreadRunner

logger = logging.getLogger(__name__)

ROLE = "STREAMING_ROLE"
#: Maximum hosts, per serving process, for single jobs that may have killed earlier ones.
LONE = 2


def role() -> str:
    """What this process is to an app: `web`, `host` (it runs tasks for one) or `worker`.

    An app is loaded in each of them. What may exist once (a scheduler, a metrics port, a
    migration) belongs in `web`; what only tasks use (a model on a GPU) where they run.
    """
    return os.environ.get(ROLE, "web")


def make_local_runner(
    settings: Settings, dependencies: Dependencies, *, app_uri: str, succeeded: Callable[[], bool]
) -> ThreadRunner:
    """The runner of a server whose jobs no other process takes: in hosts, or in threads.

    `app_uri` is the app's import string for hosts, as for gunicorn; "" without hosts.
    """
    count = settings.task_processes
    if count is None:
        count = 1 if app_uri else 0
    if count and not app_uri:
        logger.warning(
            "STREAMING_TASK_PROCESSES=%d is ignored: task hosts load the app that gunicorn was "
            "told to serve, and this is another server, or its hooks are missing "
            "(streaming.hooks); tasks run as threads of this process",
            count,
        )
        count = 0
    elif app_uri and not count:
        logger.warning(
            "STREAMING_TASK_PROCESSES=0: tasks run as threads of the serving process, where "
            "processes, threads and asyncio of their own may not work, and computing holds up "
            "all streams"
        )
    if not count:
        return ThreadRunner(
            lambda job, on_trial: Attempt(job, dependencies, on_trial=on_trial),
            threads=settings.jobs,
            greenlets=settings.jobs_cooperative,
            queue=settings.queue,
            succeeded=succeeded,
        )
    return _make_host_runner(
        settings,
        dependencies,
        app_uri=app_uri,
        count=count,
        lone=LONE,
        submits=lambda runner: runner,
        succeeded=succeeded,
        needed=any(not each.cooperative for each in dependencies.tasks),
    )


def make_worker_runner(
    settings: Settings,
    dependencies: Dependencies,
    *,
    app_uri: str,
    submits: Runner,
    ended: Callable[[Running], object],
) -> HostRunner:
    """The runner of a worker on Redis, with a callback for attempts that are over.

    Jobs run as threads of the worker, except for those that may have killed one before; where
    STREAMING_TASK_PROCESSES asks for hosts, all jobs run there. `submits` queues what tasks in
    hosts submit.
    """
    count = settings.task_processes or 0
    return _make_host_runner(
        settings,
        dependencies,
        app_uri=app_uri,
        count=count,
        lone=settings.jobs,
        submits=lambda _: submits,
        ended=ended,
        needed=count > 0,
        only_trials=count == 0,
    )


def _make_host_runner(
    settings: Settings,
    dependencies: Dependencies,
    *,
    app_uri: str,
    count: int,
    lone: int,
    submits: Callable[[HostRunner], Runner],
    **more: Any,
) -> HostRunner:
    app = HostedApp(
        uri=app_uri,
        log_url=settings.log_url,
        base_url=dependencies.base_url,
        digest=dependencies.tasks.digest(),
    )

    def make_attempt(job: str, on_trial: bool) -> Attempt:
        return Attempt(job, dependencies, on_trial=on_trial)

    def make_hosts(runner: HostRunner) -> Hosts:
        asked = submits(runner)
        return Hosts(
            app,
            dependencies.storage,
            dependencies.snapshots,
            count=count,
            lone=lone,
            level=settings.log_format,
            methods={
                **_answers(dependencies),
                **runner_methods(asked, dependencies.storage, lambda row: runner.accepted(row)),
            },
            ended=dependencies.ended,
            stuck=runner.note_stuck,
        )

    def make_hosted(job: str, alone: bool, hosts: Hosts) -> HostedAttempt:
        return HostedAttempt(
            job,
            make_attempt=make_attempt,
            storage=dependencies.storage,
            snapshots=dependencies.snapshots,
            home=hosts,
            alone=alone,
        )

    return HostRunner(
        make_attempt,
        make_hosts,
        make_hosted,
        threads=settings.jobs,
        greenlets=settings.jobs_cooperative,
        queue=settings.queue,
        **more,
    )


def look_after_submits(runner: Runner, registry: JobRegistry) -> None:
    """Look after jobs submitted by tasks in hosts like after all others."""
    if isinstance(runner, HostRunner):
        runner.accepted = registry.supervisor.watch


def _answers(dependencies: Dependencies) -> Mapping[str, Callable[..., object]]:
    """The calls that hosts make to the serving process, besides those of the storage."""
    return {"figures": lambda: dict(dependencies.figures()), "level": lambda: dependencies.level()}
