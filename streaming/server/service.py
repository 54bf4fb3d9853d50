"""The service: a Flask app with the extension on it, its own tasks, and a page.

It needs all extras: an app of your own with the extension needs none.
"""

from __future__ import annotations

from flask import Flask, Response, make_response, render_template

from streaming.config import PROTOCOLS, Settings
from streaming.errors import InvalidSettings, missing_extra
from streaming.server.extension import Streaming
from streaming.web.assets import assets
from streaming.web.blueprints import answer_with_problems
from streaming.web.routes.ops import ops

try:
    from streaming.tasks.agent import agent
    from streaming.tasks.analyze import analyze
    from streaming.tasks.chat import chat
    from streaming.tasks.files import files
    from streaming.tasks.generate import generate
    from streaming.tasks.monitor import monitor
    from streaming.tasks.report import report
    from streaming.tasks.train import train
except ModuleNotFoundError as error:
    if not error.name or error.name.startswith("streaming"):
        raise
    raise InvalidSettings(missing_extra(error.name, "all")) from error

#: In the order in which the page offers them, the simplest first.
TASKS = [generate, report, agent, analyze, chat, files, monitor, train]

#: What the page may load and run: its own files, and artifacts of jobs. Only DOMPurify's policy
#: may create markup (Trusted Types).
PAGE_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "frame-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'self'",
        "require-trusted-types-for 'script'",
        "trusted-types dompurify",
    ]
)


def create_app(settings: Settings | None = None) -> Flask:
    """The app, not yet started: it starts in the process that serves it."""
    app = Flask(
        "app",
        root_path=str(assets("")),
        static_folder=str(assets("static")),
        template_folder=str(assets("templates")),
    )
    settings = settings or Settings.load(app.config)
    Streaming(
        app,
        settings=settings,
        tasks=TASKS,
        open_submit=True,
        protocols=PROTOCOLS,
    )
    # Where platforms look for them; they are also under `/v1`, as in every app.
    app.register_blueprint(ops, name="streaming_root")
    answer_with_problems(app)

    @app.get("/")
    def page() -> Response:
        """The page: start a job and watch it."""
        response = make_response(render_template("index.html", simulated=not settings.llm_base_url))
        response.headers["Content-Security-Policy"] = PAGE_POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    return app
