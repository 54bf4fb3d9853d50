"""What a server is told of the process that it is in."""

from __future__ import annotations


class ServingProcess:
    """One that nobody replaces and that leaves when it likes; server hooks know better."""

    #: Where task hosts find the app, as gunicorn takes it; "" where there are none.
    app_uri = ""

    def succeeded(self) -> bool:
        """Whether another process is about to take over: jobs may be stored for it."""
        return False

    def listening(self) -> bool:
        """Whether it is still given requests."""
        return False
