"""Commands that start processes of a server: `serve` and `worker`."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import NoReturn

import click

#: What tells gunicorn to serve the service.
SERVICE = ("-c", "python:streaming.server.gunicorn_conf")


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--host", metavar="ADDRESS", help="where to listen (HOST): 127.0.0.1")
@click.option("--port", metavar="PORT", type=int, help="on which port (PORT): 8000")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def serve(host: str | None, port: int | None, options: tuple[str, ...]) -> None:
    """Serve: the API, the page and the tasks, by gunicorn, until Ctrl-C or SIGTERM.

    Settings come from the environment (docs/reference.md). OPTIONS are gunicorn's.
    """
    settings = {} if host is None else {"HOST": host}
    if port is not None:
        # A given PORT listens everywhere, as platforms want it: here it is only a number.
        settings |= {"PORT": str(port), "HOST": host or os.environ.get("HOST", "127.0.0.1")}
    _check_concurrency()
    _become(["gunicorn", *SERVICE, *options], settings)


@click.command()
@click.argument("app", required=False)
def worker(app: str | None) -> None:
    """Run jobs of a deployment on Redis (REDIS_URL), until Ctrl-C or SIGTERM.

    APP is the Flask app whose tasks it runs: myapp:app, or myapp:create_app() (STREAMING_APP).
    """
    _become(["streaming.worker"], {} if app is None else {"STREAMING_APP": app})


def _check_concurrency() -> None:
    """gunicorn reads it before any of our settings, and says nothing sensible of a bad one."""
    given = os.environ.get("WEB_CONCURRENCY", "1")
    if not given:
        del os.environ["WEB_CONCURRENCY"]
    elif not given.isdecimal():
        allowed = "set a whole number of web processes, from 1 to 256"
        raise click.ClickException(f"WEB_CONCURRENCY={given!r}: {allowed}")


def _become(arguments: list[str], settings: dict[str, str]) -> NoReturn:
    """Go on as another program: signals, terminal and exit code are its own."""
    module = arguments[0]
    if find_spec(module) is None:
        raise click.UsageError(
            f"{module} is not installed; in this package's folder: pip install '.[all]'"
        )
    sys.stdout.flush()
    os.environ.update(settings)
    os.execv(sys.executable, [sys.executable, "-m", *arguments])
