"""What a server knows of its process."""

from __future__ import annotations


class ServingProcess:
    """A process that is never replaced, and stops at any time; server hooks know more."""

    #: Import string of the app for task hosts, as for gunicorn; "" without hosts.
    app_uri = ""

    def succeeded(self) -> bool:
        """Whether another process is about to take over, for which jobs may be stored."""
        return False

    def listening(self) -> bool:
        """Whether it still gets requests."""
        return False
