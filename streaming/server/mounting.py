"""Mounts the protocols of others, and refuses URL rules that the app already has."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from flask import Blueprint, Flask
from werkzeug.routing import Rule

from streaming.config import Settings, protocol_names
from streaming.errors import InvalidSettings
from streaming.web.routes.a2a import a2a, card
from streaming.web.routes.agui import agui
from streaming.web.routes.chat import chat
from streaming.web.routes.durable import durable
from streaming.web.routes.mcp import mcp
from streaming.web.routes.messages import messages
from streaming.web.routes.models import models
from streaming.web.routes.responses import responses
from streaming.web.routes.ui import ui

#: By protocol, its blueprints below the prefix and /v1.
PROTOCOL_ROUTES: Mapping[str, tuple[Blueprint, ...]] = {
    "chat": (models, chat),
    "responses": (models, responses),
    "messages": (models, messages),
    "ui": (models, ui),
    "durable": (durable,),
    "agui": (models, agui),
}
#: By protocol, its blueprints under the prefix alone.
ROOT_ROUTES: Mapping[str, tuple[Blueprint, ...]] = {"mcp": (mcp,), "a2a": (a2a, card)}


def names_said(
    config: Mapping[str, Any], settings: Settings | None, default: Iterable[str]
) -> tuple[str, ...]:
    """The protocols that STREAMING_PROTOCOLS names, or else those of the app.

    The only setting that is read when the app is made, because routes are fixed then; a bad value
    is reported with the others, at the start. Ready-made settings override both.
    """
    if settings is not None:
        return tuple(default) if settings.protocols is None else settings.protocols
    said = config.get("STREAMING_PROTOCOLS", os.environ.get("STREAMING_PROTOCOLS"))
    if said is None or said == "":
        return tuple(default)
    try:
        return protocol_names(said)
    except ValueError:
        return ()


def mount(app: Flask, names: Iterable[str], *, base_url: str, root: str) -> tuple[Blueprint, ...]:
    """Register the protocols' routes: their blueprints.

    `InvalidSettings` where the app has one of the rules already.
    """
    mounted: list[Blueprint] = []
    for name in names:
        places = [(each, base_url) for each in PROTOCOL_ROUTES.get(name, ())]
        places += [(each, root) for each in ROOT_ROUTES.get(name, ())]
        for blueprint, prefix in places:
            if blueprint.name not in app.blueprints:
                app.register_blueprint(blueprint, url_prefix=prefix or None)
                mounted.append(blueprint)
    check_rules(app)
    return tuple(mounted)


def check_rules(app: Flask) -> None:
    """`InvalidSettings` names a rule that a protocol and the app both have."""
    ours: dict[tuple[str, str], tuple[str, Rule]] = {}
    for rule in app.url_map.iter_rules():
        if (protocol := _protocol_of(rule)) is not None:
            ours |= dict.fromkeys(_keys(rule), (protocol, rule))
    for rule in app.url_map.iter_rules():
        if _protocol_of(rule) is not None:
            continue
        for key in _keys(rule):
            if key in ours:
                protocol, taken = ours[key]
                raise InvalidSettings(
                    f"STREAMING_PROTOCOLS={protocol} mounts {key[0]} {taken.rule}, and the app has "
                    f"{rule.rule} already (its endpoint {rule.endpoint!r}): name the protocols "
                    "without it, or mount them under a url_prefix"
                )


def _protocol_of(rule: Rule) -> str | None:
    """The protocol that a rule belongs to."""
    blueprint = rule.endpoint.partition(".")[0]
    for routes in (PROTOCOL_ROUTES, ROOT_ROUTES):
        for name, blueprints in routes.items():
            if any(blueprint == each.name for each in blueprints):
                return name
    return None


def _keys(rule: Rule) -> list[tuple[str, str]]:
    """Methods and path, without the names and types of its variables."""
    path = re.sub(r"<[^>]*>", "<>", rule.rule).rstrip("/")
    return [(method, path) for method in (rule.methods or {"GET"}) - {"HEAD", "OPTIONS"}]
