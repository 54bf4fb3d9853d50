"""Flask-WTF's CSRFProtect and our routes: what a page of ours sends needs no token.

A forged request comes from another site's page. A browser tells on it: it names the origin of the
page, or the site, and lets no page set a bearer key without asking. Where none of this
is said (an absent Origin says nothing), the app's own protection decides, as for its other routes.
"""

from __future__ import annotations

from collections.abc import Collection

from flask import Blueprint, Flask, request, request_started

from streaming.web.hosts import is_own
from streaming.web.services import services


def exempt(app: Flask, blueprints: Collection[Blueprint]) -> None:
    """Have the protection, whenever the app gets it, leave these blueprints to `protect`."""

    def look(_app: Flask, **_: object) -> None:
        csrf = app.extensions.get("csrf")
        if csrf is not None and hasattr(csrf, "protect"):
            for each in blueprints:
                csrf.exempt(each)

    # Before any `before_request`; kept alive with the app.
    app.extensions["streaming.csrf"] = look
    request_started.connect(look, app)


def protect(app: Flask) -> None:
    """Refuse what the app's CSRFProtect would refuse, unless the request shows whose it is."""
    csrf = app.extensions.get("csrf")
    if csrf is None or not hasattr(csrf, "protect"):
        return
    config = app.config
    on = config.get("WTF_CSRF_ENABLED", True) and config.get("WTF_CSRF_CHECK_DEFAULT", True)
    if on and request.method in config.get("WTF_CSRF_METHODS", ()) and not _shows_its_origin():
        csrf.protect()


def _shows_its_origin() -> bool:
    if request.headers.get("Authorization", "").lower().startswith("bearer "):
        return True
    if request.headers.get("Sec-Fetch-Site") == "same-origin":
        return True
    origin = request.headers.get("Origin")
    if not origin:
        return False
    return is_own(origin) or origin in services().settings.allowed_origins
