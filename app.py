"""The service's app factory; `streaming/server/service.py` has it."""

from streaming.server.service import create_app

__all__ = ["create_app"]
