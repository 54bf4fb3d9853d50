"""Ends this process, and all that it has started, when the process that started it is gone.

The end of the link shows that, too, but only to a thread that gets to run. The lifeline is a pipe
to which nobody writes: when its other end closes, the system kills the whole process group, even if
it is stopped, or C code in it holds the GIL.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import sys

#: prctl(2): the signal that a process gets when its parent dies.
_PR_SET_PDEATHSIG = 1


def hold(descriptor: int) -> None:
    """End with the other end of the pipe `descriptor`. For the leader of a process group."""
    if not sys.platform.startswith("linux"):
        return
    fcntl.fcntl(descriptor, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGKILL)
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_ASYNC)
    # The pipe stays open while another process of the server has inherited it.
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def end_group() -> None:
    """Kill this process and all of its group, at once."""
    os.killpg(os.getpgrp(), signal.SIGKILL)
