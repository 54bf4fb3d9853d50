"""The command line: `streaming --help`. A client like any other, and the way to start a server."""

from __future__ import annotations

import sys


def main() -> None:
    """The console script. What goes wrong is told in one line, with an exit code of its own."""
    if not _is_ours():
        found = getattr(sys.modules["streaming"], "__file__", None)
        sys.exit(
            f"error: the package 'streaming' at {found} is another project's "
            "(mosaicml-streaming installs the same name). "
            "Install streaming-jobs into an environment of its own"
        )
    from streaming.cli.app import run

    sys.exit(run(sys.argv[1:]))


def _is_ours() -> bool:
    """Whether the package that this one was imported with is this project's."""
    return "JobContext" in getattr(sys.modules["streaming"], "__all__", ())


def __getattr__(name: str) -> object:
    if name != "cli":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from streaming.cli.app import cli

    return cli
