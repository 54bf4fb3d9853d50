"""Where a request says that it comes from, and goes to: whatever the header holds."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import request


def is_own(origin: str) -> bool:
    """Whether an `Origin` is that of the host which is asked; none that is no address is."""
    try:
        return urlsplit(origin).netloc == request.host
    except ValueError:
        return False


def asked_host() -> str:
    """The name that is asked, without its port; "" where the `Host` header is none."""
    try:
        return urlsplit(f"//{request.host}").hostname or ""
    except ValueError:
        return ""
