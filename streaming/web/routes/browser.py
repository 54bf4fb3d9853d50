"""The browser clients, for the pages of whatever app the extension is in."""

from __future__ import annotations

from flask import Response, send_from_directory

from streaming.web.assets import assets
from streaming.web.blueprints import open_blueprint

browser = open_blueprint("browser")


@browser.get("/streaming.js", defaults={"file": "streaming.js"})
@browser.get("/poll.js", defaults={"file": "poll.js"})
def script(file: str) -> Response:
    """A client. An ES module takes its server from the address that it came from."""
    return _send(file)


@browser.get("/streaming/<name>.js")
def module(name: str) -> Response:
    """A part of the client."""
    return _send(f"streaming/{name}.js")


def _send(file: str) -> Response:
    return send_from_directory(assets("static/client"), file, mimetype="text/javascript")
