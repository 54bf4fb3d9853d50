"""What the commands have in common: the server that is meant, and how results are printed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import click

from streaming.client import Client

C = TypeVar("C", bound=Callable[..., object])

#: Seconds of a pause between two tries from which on it is told.
TOLD_S = 3.0


@dataclass(slots=True)
class Context:
    """What was said before the command."""

    url: str
    api_key: str | None
    json: bool

    def client(self) -> Client:
        """A client of the server that is meant."""
        return Client(self.url, api_key=self.api_key or None, sleep=_sleep)


def _sleep(seconds: float) -> None:
    """Pause as the client does; a long one is told, so that nobody wonders."""
    if seconds >= TOLD_S:
        click.echo(f"no connection; the next try is in {seconds:.0f} s", err=True)
    time.sleep(seconds)


class Interrupted(Exception):
    """Raised for Ctrl-C where there is something to say about how to go on."""

    @classmethod
    def at(cls, job: str, again: str) -> Interrupted:
        """Says how to come back to a job, by this command, and how to cancel it."""
        return cls(f"the job goes on\n  come back: {again}\n  stop it:   streaming cancel {job}")


@contextlib.contextmanager
def coming_back(job: str, again: str) -> Iterator[None]:
    """Ctrl-C within says how to come back to the job, by this command."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted.at(job, again) from None


def with_json(command: C) -> C:
    """The option `--json`, which may also stand before the command."""

    def remember(context: click.Context, _: click.Parameter, given: bool) -> bool:
        if given:
            context.find_root().obj.json = True
        return given

    option = click.option(
        "--json", is_flag=True, expose_value=False, callback=remember, help="print JSON"
    )
    return option(command)
