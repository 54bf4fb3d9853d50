"""What the query of the present request says."""

from __future__ import annotations

from flask import request


def argument(name: str) -> str | None:
    """None where it is not there: `get` would make an HTTP error of each that is missing."""
    arguments = request.args
    return arguments[name] if name in arguments else None  # noqa: SIM401
