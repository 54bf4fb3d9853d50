"""The service: a Flask app with the extension on it, its own tasks and a page."""

from __future__ import annotations

from flask import Flask, render_template

from streaming import Settings, Streaming
from streaming.tasks.agent import agent
from streaming.tasks.analyze import analyze
from streaming.tasks.chat import chat
from streaming.tasks.files import files
from streaming.tasks.generate import generate
from streaming.tasks.monitor import monitor
from streaming.tasks.report import report
from streaming.tasks.train import train
from streaming.web.blueprints import answer_with_problems

#: In the order in which the page offers them, the simplest first.
TASKS = [generate, report, agent, analyze, chat, files, monitor, train]


def create_app(settings: Settings | None = None) -> Flask:
    """The app, not yet started: that happens in the process that serves it."""
    app = Flask(__name__)
    Streaming(app, settings=settings, tasks=TASKS)
    answer_with_problems(app)

    @app.get("/")
    def page() -> str:
        """The page: start a job and watch it."""
        return render_template("index.html")

    return app
