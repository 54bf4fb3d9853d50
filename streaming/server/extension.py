"""The Flask extension: `Streaming(app)` mounts everything; `streaming.submit(…)` starts a job."""

from __future__ import annotations

import re
import weakref
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict

from flask import Blueprint, Flask, current_app, has_app_context, request_started
from pydantic import BaseModel

from streaming.config import Settings, protocol_names
from streaming.errors import InvalidSettings, StreamingError
from streaming.events.vocabulary import JsonMapping, JsonObject
from streaming.jobs.request import digest_of
from streaming.llm.base import Model
from streaming.running.origin import UserId
from streaming.running.task import Task, TaskFunction, check_name, task as make_task
from streaming.server.mount import Mount, mount_of
from streaming.server.mounting import check_rules, mount as mount_protocols, names_said
from streaming.server.server import Server
from streaming.tasks.completion import completion
from streaming.web.auth import submitter
from streaming.web.commands import request_of, submit_body
from streaming.web.cross_origin import allow_origins
from streaming.web.csrf import exempt
from streaming.web.origins import present_origin
from streaming.web.principal import Principal
from streaming.web.problems import problem_response
from streaming.web.routes.browser import browser
from streaming.web.routes.files import files
from streaming.web.routes.jobs import jobs
from streaming.web.routes.longpoll import longpoll
from streaming.web.routes.ops import ops
from streaming.web.routes.sse import sse
from streaming.web.routes.streams import streams
from streaming.web.routes.tickets import tickets
from streaming.web.routes.transports import transports
from streaming.web.routes.websocket import websocket
from streaming.web.services import EXTENSION, Authorize, Who, services

#: What is mounted under the prefix; public, for extensions that can exempt blueprints.
BLUEPRINTS = (jobs, files, tickets, streams, transports, sse, longpoll, websocket, browser, ops)

#: Members of a request that were added after digests of requests were first stored.
LATER = ("title", "origin", "kept", "blobs", "webhook")


class Streaming:
    """Background jobs with live streams, in an existing Flask app.

    ::

        streaming = Streaming(app)            # or Streaming() and init_app(app) in a factory

        @streaming.task("answer")
        def answer(ctx, input):
            for token in model(input["question"]):
                yield token

        @app.post("/ask")
        def ask():
            return streaming.submit(answer, {"question": request.json["question"]}), 202

    Routes are mounted under `url_prefix`: `/v1/jobs`, `/v1/healthz` and the others. Settings are
    `STREAMING_…` names of `app.config` and the environment; they are read when the first request
    comes, or when gunicorn's hooks start the server.
    """

    #: The blueprints of all routes.
    blueprints: tuple[Blueprint, ...] = BLUEPRINTS

    def __init__(
        self,
        app: Flask | None = None,
        *,
        url_prefix: str | None = "",
        tasks: Iterable[Task] = (),
        settings: Settings | None = None,
        model: Model | None = None,
        authorize: Authorize | Callable[[], Awaitable[Who]] | None = None,
        open_submit: bool = False,
        protocols: Iterable[str] = (),
    ) -> None:
        """`authorize` says who makes the present request, for apps with a login of their own.

        It returns the user's id (str, int or UUID), or None, False or "" for nobody (401); or a
        `Principal`, for one who may do less (or with `admin` more) than everything with what is
        their own. Anything else is a TypeError. It may be `async`, as the app's views may. API keys
        do not count then.

        Only the app's own views start jobs, with `submit`: `POST /v1/jobs` and `submit` over
        WebSocket are 403, except for tasks that say `open=True`. With `open_submit=True` clients
        may start all tasks; the setting STREAMING_OPEN_SUBMIT decides over it.

        `protocols` of others are mounted (`config.PROTOCOLS`); the setting STREAMING_PROTOCOLS
        decides over it.
        """
        _check(url_prefix, settings, authorize)
        self._protocols = protocol_names(protocols if isinstance(protocols, str) else [*protocols])
        self._open_submit = open_submit
        self._authorize = authorize
        self._url_prefix = (url_prefix or "").rstrip("/")
        self._settings = settings
        self._model = model
        self._mounts: list[weakref.ref[Mount]] = []
        #: The tasks of apps to come, and those of them that an app has already.
        self._tasks: dict[str, Task] = {}
        self._taken: set[int] = set()
        for each in [tasks] if isinstance(tasks, Task) else tasks:
            if not isinstance(each, Task):
                raise TypeError(f"tasks= are functions marked with @task, not {each!r:.80}")
            self._add(each)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Mount on an app; for application factories, which may be called any number of times."""
        known = app.extensions.get(EXTENSION)
        if known is not None:
            if any(each() is known for each in self._mounts):
                return
            raise InvalidSettings(f"the Flask app {app.name!r} has another Streaming already")
        if app.url_map.host_matching:
            raise InvalidSettings(
                f"the Flask app {app.name!r} has host_matching=True, under which a route without a "
                "host answers nobody: mount Streaming on an app of its own, behind werkzeug's "
                "DispatcherMiddleware"
            )
        base_url = f"{self._url_prefix}/v1"
        mount = Mount(
            app,
            base_url=base_url,
            settings=self._settings,
            model=self._model,
            authorize=self._authorize and app.ensure_sync(self._authorize),
            open_submit=self._open_submit,
        )
        for each in self._tasks.values():
            mount.tasks.add(each)
            if id(each) not in self._taken:
                self._taken.add(id(each))
                mount.owned.add(each.name)
        app.extensions[EXTENSION] = mount
        self._mounts.append(weakref.ref(mount))
        # What submit() refuses in a view of the app's own.
        app.register_error_handler(StreamingError, problem_response)
        for blueprint in BLUEPRINTS:
            app.register_blueprint(blueprint, url_prefix=base_url)
        mounted = names_said(app.config, self._settings, self._protocols)
        if mounted:
            mount.tasks.add(completion)
            mount.checks.append(lambda: check_rules(app))
        protocol_routes = mount_protocols(app, mounted, base_url=base_url, root=self._url_prefix)
        allow_origins(app, base_url)
        request_started.connect(mount.wake, app)
        exempt(app, (*BLUEPRINTS, *protocol_routes))

    def task(
        self,
        name: str,
        title: str = "",
        *,
        steps: Iterable[str | tuple[str, str]] = (),
        input: type[BaseModel] | None = None,
        cooperative: bool = False,
        retry: bool = True,
        takes_input: bool | type[BaseModel] = False,
        needs: Mapping[str, int] | None = None,
        basic: TaskFunction | None = None,
        open: bool = False,
        answers: bool = False,
    ) -> Callable[[TaskFunction], Task]:
        """`@task`, registered with this extension's apps.

        Within a factory it makes a task of the app that the factory makes: when the factory is
        called again, the other app has its own.
        """

        check_name(name)

        def decorate(function: TaskFunction) -> Task:
            made = make_task(
                name,
                title,
                steps=steps if isinstance(steps, str) else list(steps),
                input=input,
                cooperative=cooperative,
                retry=retry,
                takes_input=takes_input,
                needs=needs,
                basic=basic,
                open=open,
                answers=answers,
            )(function)
            self._add(made)
            return made

        return decorate

    def close(self, *, within_s: float | None = None) -> None:
        """Leave all apps: for tests, and for processes that go on without them.

        Where no other app of the process is on the same log, streams are told, jobs end or are
        left to a later start, within `within_s` seconds (STREAMING_DRAIN_S); then every thread,
        descriptor and lock of the server is given back. What is asked later is answered 503, and
        raises an error with the code `draining`. Again, it does nothing.
        """
        for mount in self._alive():
            mount.close(within_s=within_s)

    def submit(
        self,
        task: Task | str,
        input: JsonMapping | BaseModel,
        *,
        owner: UserId | Principal | None = None,
        idempotency_key: str | None = None,
        **options: object,
    ) -> JsonObject:
        """Start a job of the present request's user; its snapshot, with links to watch it.

        Options are those of `POST /v1/jobs`: title, metadata, webhook, timeout_s, … With a key,
        the same call gives the same job again. Outside of a request (commands, schedulers) `owner`
        is the user's id as `authorize` returns it; within a task it is whose job runs.

        `InvalidInput` names what is not valid, `TooMany` and `Unavailable` say when to try again.
        """
        asked = request_of(submit_body(task, input, options))
        digest = digest_of({k: v for k, v in asdict(asked).items() if v or k not in LATER})
        with self._in_app():
            found, asker = services(), submitter(owner)
            row, _ = found.registry.submit(
                asker.owner,
                asked,
                key=idempotency_key,
                digest=digest,
                records=present_origin(asker.user, asked.task).to_records(),
            )
            return found.snapshot(row.id)

    def _add(self, made: Task) -> None:
        """Add a task to the apps that have none of its name, or one of another factory call."""
        known = self._tasks.get(made.name)
        if known is not None and known is not made and not _same_place(known, made):
            raise InvalidSettings(f"there are two tasks named {made.name!r}")
        self._tasks[made.name] = made
        for mount in self._alive():
            if mount.tasks.find(made.name) is None or made.name not in mount.owned:
                mount.tasks.replace(made)
                mount.owned.add(made.name)
                self._taken.add(id(made))

    def _alive(self) -> list[Mount]:
        return [mount for each in self._mounts if (mount := each()) is not None]

    def _in_app(self) -> AbstractContextManager[object]:
        """The context of an app that has this extension: the present one, or the only one."""
        alive = self._alive()
        if has_app_context() and current_app.extensions.get(EXTENSION) in alive:
            return nullcontext()
        if len(alive) == 1:
            return alive[0].app.app_context()
        raise RuntimeError(
            "this extension is on no app: call init_app(app) first"
            if not alive
            else "this extension is on several apps: submit within one's `with app.app_context():`"
        )


def server_of(app: Flask) -> Server:
    """The server behind an app, for server hooks: start, drain. Its settings are read now."""
    return mount_of(app).server


def _same_place(one: Task, other: Task) -> bool:
    """Whether both were made by the same lines of code, run twice."""
    places = [getattr(each.function, "__code__", each.function) for each in (one, other)]
    return bool(places[0] == places[1])


def _check(url_prefix: object, settings: object, authorize: object) -> None:
    """What an app hands in by mistake is told where it does so."""
    if authorize is not None and not callable(authorize):
        raise TypeError(f"authorize= is called for each request; {authorize!r:.80} is no function")
    if settings is not None and not isinstance(settings, Settings):
        raise TypeError(f"settings= are those of Settings.load(…), not {settings!r:.80}")
    if not isinstance(url_prefix, str | None):
        raise TypeError(f"url_prefix= is a path, such as '/ai', not {url_prefix!r:.80}")
    if url_prefix and not re.fullmatch(r"/[^<>]*", url_prefix):
        message = f"url_prefix= begins with a slash and has no parts that vary: {url_prefix!r:.80}"
        raise ValueError(message)
