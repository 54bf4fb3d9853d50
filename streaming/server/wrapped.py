"""Finds the Flask apps behind whatever a server was given to serve, through middleware."""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import CellType, ModuleType
from typing import Any, TypeGuard

from flask import Flask

from streaming.concurrency.expressions import parse_expression
from streaming.errors import InvalidSettings
from streaming.server.deployment import Serving, refuse_sync_workers
from streaming.server.gunicorn_parts import Worker
from streaming.server.mount import Mount, mounts, servers_of
from streaming.server.server import Server
from streaming.web.services import EXTENSION

#: How many objects are searched, and how deep below what is served: middleware is a handful.
OBJECTS, DEPTH = 2000, 8
#: Names of the app that are tried when only its module is given.
NAMES = ("app", "application", "create_app", "make_app")


def mounts_behind(served: object) -> list[Mount]:
    """The apps with the extension behind `served`: a Flask app, or something around one.

    If none is found (a function around the app may hide it), all apps of this process;
    `InvalidSettings` when there are none.
    """
    apps = _apps(served)
    found = [each.extensions[EXTENSION] for each in apps if EXTENSION in each.extensions]
    if not apps and callable(served):
        found = mounts()
    if not found:
        raise InvalidSettings("no Flask app with Streaming on it is served here")
    return found


def servers_served(worker: Worker) -> list[Server]:
    """The servers of the apps that a gunicorn worker serves, adapted to it, not yet started.

    `InvalidSettings` if they cannot work there.
    """
    found, serving = mounts_behind(worker.wsgi), Serving.of_gunicorn(worker.cfg)
    refuse_sync_workers(worker.cfg)
    for mount in found:
        mount.serve(serving)
        serving.check(mount.server.settings)
    return servers_of(found)


def load_served(name: str) -> object:
    """The object that `module:app`, `module:factory()`, `module:object.app` or `module` names.

    `InvalidSettings` when there is none.
    """
    module, _, expression = name.partition(":")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        loaded = import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # an import of the app is at fault
        raise InvalidSettings(f"STREAMING_APP={name}: there is no module {module!r}") from error
    try:
        found = _evaluate(loaded, expression or _usual_name(loaded))
    except (AttributeError, ValueError, SyntaxError) as error:
        raise InvalidSettings(
            f"STREAMING_APP={name}: there is no Flask app of this name with Streaming on it"
        ) from error
    return found() if _is_factory(found) else found


def _apps(served: object) -> list[Flask]:
    """Search breadth first, so that the outermost apps come first."""
    seen: set[int] = set()
    layer, found = [served], []
    for _ in range(DEPTH):
        below: list[object] = []
        for each in layer:
            if id(each) in seen or len(seen) > OBJECTS:
                continue
            seen.add(id(each))
            if isinstance(each, Flask):
                found.append(each)
            else:
                below += _parts(each)
        layer = below
    return found


def _parts(thing: object) -> Iterator[object]:
    """The objects in which a piece of middleware may keep the app."""
    if isinstance(thing, str | bytes | int | float | type(None) | type | type(ast)):
        return
    if isinstance(thing, dict):
        yield from thing.values()
    elif isinstance(thing, list | tuple | set | frozenset):
        yield from thing
    elif isinstance(thing, functools.partial):
        yield from (thing.func, *thing.args, *thing.keywords.values())
    else:
        yield getattr(thing, "__self__", None)
        yield getattr(thing, "__wrapped__", None)
        for cell in getattr(thing, "__closure__", None) or ():
            yield from _content(cell)
        yield from getattr(thing, "__dict__", {}).values()
        for name in getattr(type(thing), "__slots__", ()):
            yield getattr(thing, name, None)


def _content(cell: CellType) -> Iterator[object]:
    try:
        yield cell.cell_contents
    except ValueError:  # not filled yet
        return


def _usual_name(module: ModuleType) -> str:
    for name in NAMES:
        if hasattr(module, name):
            return name
    raise AttributeError(f"none of {', '.join(NAMES)}")


def _evaluate(module: ModuleType, expression: str) -> object:
    """Evaluate names, attributes and one call with plain values, and nothing else."""

    def value(node: ast.expr) -> Any:
        if isinstance(node, ast.Name):
            return getattr(module, node.id)
        if isinstance(node, ast.Attribute):
            return getattr(value(node.value), node.attr)
        if isinstance(node, ast.Call):
            given = [ast.literal_eval(each) for each in node.args]
            named = {str(each.arg): ast.literal_eval(each.value) for each in node.keywords}
            return value(node.func)(*given, **named)
        raise ValueError("module:app or module:factory()")

    return value(parse_expression(expression))


def _is_factory(found: object) -> TypeGuard[Callable[[], object]]:
    """Whether it is a factory named without parentheses: a WSGI app takes `environ` and more."""
    code = getattr(found, "__code__", None)
    return code is not None and code.co_argcount == len(getattr(found, "__defaults__", None) or ())
