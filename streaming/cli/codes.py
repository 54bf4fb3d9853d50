"""Exit codes, as docs/command-line.md has them."""

from __future__ import annotations

from collections.abc import Mapping

DONE = 0
#: The job failed.
FAILED = 1
#: The command line is wrong, or the server refuses what it asks for.
REFUSED = 2
#: The job was cancelled.
CANCELLED = 3
#: Nobody answers, or the server cannot answer now.
AWAY = 4
#: The job has not ended in the time given; or, with `doctor`, something is to be changed.
NOT_YET = 5
#: Ctrl-C.
INTERRUPTED = 130

#: Of a job that has ended.
OF_STATUS: Mapping[str, int] = {"completed": DONE, "failed": FAILED, "cancelled": CANCELLED}
