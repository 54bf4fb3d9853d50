"""Where new jobs come from: the request, or the attempt, within which they are submitted."""

from __future__ import annotations

from dataclasses import dataclass, replace

from flask import current_app, g, has_app_context, has_request_context, request

from streaming.running.origin import Origin, UserId
from streaming.running.traces import carried
from streaming.web.services import EXTENSION

_RUNNING = "_streaming_running"


@dataclass(frozen=True, slots=True)
class Running:
    """The attempt whose code runs in the present app context."""

    #: The owner of its job, as the index has it.
    owner: str
    origin: Origin


def remember(running: Running) -> None:
    """Have the present app context know whose code runs in it."""
    setattr(g, _RUNNING, running)


def running() -> Running | None:
    """The attempt whose code runs in the present app context, if one does."""
    found: Running | None = g.get(_RUNNING) if has_app_context() else None
    return found


def present_origin(user: UserId | None) -> Origin:
    """What a job that is submitted now, for that user, is to remember."""
    mount = current_app.extensions[EXTENSION]
    outer = running()
    made = Origin(user=user, place=mount.place, app=current_app.name, trace=carried())
    if has_request_context():
        return replace(made, root=request.root_url)
    return made if outer is None else replace(made, root=outer.origin.root)
