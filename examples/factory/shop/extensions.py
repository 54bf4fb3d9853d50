"""Extensions, not yet on an app."""

from flask import session

from streaming import Streaming

streaming = Streaming(url_prefix="/ai", authorize=lambda: session.get("user"))
