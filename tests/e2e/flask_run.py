"""The same app under Flask's own server, as people have it while they write tasks."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.server import Server


class FlaskRun(Server):
    """`flask run`: one process, whose threads run the tasks."""

    def __init__(self, folder: Path, **settings: str | float) -> None:
        super().__init__(folder, "gthread", **settings)
        self.command = ["flask", "--app", "wsgi", "run", "--no-reload", "--port", str(self.port)]
