"""The Flask extension: `Streaming(app)` mounts everything; `streaming.submit(…)` starts a job."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from flask import Flask
from flask_cors import CORS
from pydantic import BaseModel

from streaming.config import Settings
from streaming.errors import StreamingError
from streaming.jobs.registry import Request, digest_of
from streaming.llm import make_model
from streaming.llm.base import Model
from streaming.running.task import Task, task as make_task
from streaming.server.mounting import check_rules, mount
from streaming.server.server import Server
from streaming.tasks.completion import completion
from streaming.web.auth import owner
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
from streaming.web.services import EXTENSION, Authorize, services

#: What pages of allowed origins may read of an answer besides its body.
EXPOSED = [
    "Location", "Content-Location", "Retry-After", "Idempotency-Replayed", "ETag", "X-Job-Id",
    "X-Should-Retry",
]  # fmt: skip

#: Members of a request that came after digests of requests were first kept.
LATER = ("title", "origin", "kept", "blobs")


class Streaming:
    """Background jobs with live streams, in a Flask app that exists.

    ::

        streaming = Streaming(app)            # or Streaming() and init_app(app) in a factory

        @streaming.task("answer")
        def answer(ctx, input):
            for token in model(input["question"]):
                yield token

        @app.post("/ask")
        def ask():
            return streaming.submit(answer, {"question": request.json["question"]}), 202

    Routes are mounted under `url_prefix`: `/v1/jobs`, `/healthz` and the others. Settings come
    from the environment and, before it, from `app.config`.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        url_prefix: str = "",
        tasks: Iterable[Task] = (),
        settings: Settings | None = None,
        model: Model | None = None,
        authorize: Authorize | None = None,
        open_submit: bool = False,
        protocols: Iterable[str] = (),
    ) -> None:
        """`authorize` says who makes the present request, for apps with a login of their own.

        It returns the user's id (str, int or UUID), or None, False or "" for nobody (401); or a
        `Principal`, for one who may do less (or with `admin` more) than everything with what is
        their own. Anything else is a TypeError. API keys do not count then.

        Only the app's own views start jobs, with `submit`: `POST /v1/jobs` and `submit` over
        WebSocket are 403, except for tasks that say `open=True`. With `open_submit=True` clients
        may start all tasks; the setting STREAMING_OPEN_SUBMIT decides over it.

        `protocols` of others are mounted (`config.PROTOCOLS`); the setting STREAMING_PROTOCOLS
        decides over it.
        """
        self._protocols = tuple(protocols)
        self._open_submit = open_submit
        self._authorize = authorize
        self._url_prefix = url_prefix.rstrip("/")
        self._tasks = list(tasks)
        self._settings = settings
        self._model = model
        self._servers: list[Server] = []
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Mount on an app; for application factories."""
        settings = self._settings or Settings.load(app.config)
        base_url = f"{self._url_prefix}/v1"
        said = settings.protocols
        mounted = self._protocols if said is None else said
        server = Server(
            settings,
            tasks=[*self._tasks, *([completion] if mounted else [])],
            model=self._model or make_model(settings),
            base_url=base_url,
            authorize=self._authorize,
            open_submit=self._open_submit,
        )
        app.extensions[EXTENSION] = server
        if settings.allowed_origins:
            CORS(
                app,
                resources={f"{base_url}/*": {"origins": list(settings.allowed_origins)}},
                expose_headers=EXPOSED,
            )
        self._servers.append(server)
        # What submit() refuses in a view of the app's own.
        app.register_error_handler(StreamingError, problem_response)
        for blueprint in (
            jobs, files, tickets, streams, transports, sse, longpoll, websocket, browser,
        ):  # fmt: skip
            app.register_blueprint(blueprint, url_prefix=base_url)
        app.register_blueprint(ops, url_prefix=self._url_prefix or None)
        mount(app, mounted, base_url=base_url, root=self._url_prefix)
        server.checks.append(lambda: check_rules(app))

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
        basic: Callable[..., Any] | None = None,
        open: bool = False,
        answers: bool = False,
    ) -> Callable[[Callable[..., Any]], Task]:
        """`@task`, registered with this extension's apps."""

        def decorate(function: Callable[..., Any]) -> Task:
            made = make_task(
                name,
                title,
                steps=list(steps),
                input=input,
                cooperative=cooperative,
                retry=retry,
                takes_input=takes_input,
                needs=needs,
                basic=basic,
                open=open,
                answers=answers,
            )(function)
            self._tasks.append(made)
            for server in self._servers:
                server.tasks.add(made)
            return made

        return decorate

    def submit(
        self,
        task: Task | str,
        input: Mapping[str, Any],
        *,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """Start a job of the present request's user; its snapshot, with links to watch it.

        Options are those of `POST /v1/jobs`: title, metadata, timeout_s, … With a key,
        the same call gives the same job again.
        """
        name = task.name if isinstance(task, Task) else task
        asked = Request(task=name, input=input, **options)
        digest = digest_of({k: v for k, v in asdict(asked).items() if v or k not in LATER})
        row, _ = services().registry.submit(owner(), asked, key=idempotency_key, digest=digest)
        return services().snapshot(row.id)


def server_of(app: Flask) -> Server:
    """The server behind an app, for server hooks: start, drain."""
    server: Server = app.extensions[EXTENSION]
    return server
