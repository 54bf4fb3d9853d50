"""CORS for STREAMING_ALLOWED_ORIGINS, on our routes alone."""

from __future__ import annotations

from flask import Flask, Response, request
from flask_cors.core import get_cors_options, set_cors_headers

from streaming.web.services import EXTENSION

#: What pages of allowed origins may read of an answer besides its body.
EXPOSED = [
    "Location",
    "Content-Location",
    "Retry-After",
    "Idempotency-Replayed",
    "Preference-Applied",
    "ETag",
    "X-Request-ID",
]
#: Seconds for which a browser keeps what a preflight has said.
MAX_AGE_S = 7200


def allow_origins(app: Flask, base_url: str) -> None:
    """Let pages of allowed origins read the answers below `base_url`.

    The setting is read with the others, when the server starts, so this looks at each answer.
    """

    @app.after_request
    def allow(response: Response) -> Response:
        if not request.path.startswith(f"{base_url}/"):
            return response
        mount = app.extensions[EXTENSION]
        origins = mount.services().settings.allowed_origins if mount.started else ()
        # The app's own Flask-CORS may have answered for this route already.
        if origins and "Access-Control-Allow-Origin" not in response.headers:
            options = {"origins": list(origins), "expose_headers": EXPOSED, "max_age": MAX_AGE_S}
            set_cors_headers(response, get_cors_options(app, options))
            if len(lines := response.headers.getlist("Vary")) > 1:  # it adds one of its own
                names = (name.strip() for line in lines for name in line.split(","))
                response.headers["Vary"] = ", ".join(dict.fromkeys(names))
        return response
