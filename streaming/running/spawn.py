"""Starts a process that inherits nothing: no descriptors, no signal handlers, no session."""

from __future__ import annotations

import array
import os
import signal
import socket
from collections.abc import Mapping, Sequence

from streaming.concurrency.platform import original
from streaming.concurrency.sockets import NativeSocket

#: The descriptor number of the link in the started process.
LINK = 3
#: Standard input, output and error: the first is empty there, the others are shared.
_STANDARD = (0, 1, 2)


def start_process(
    program: str, arguments: Sequence[str], *, link: int, environment: Mapping[str, str]
) -> int:
    """Start a program in a session of its own; its process id.

    It inherits `link` as descriptor `LINK`, and no other descriptor. Works under gevent's patches,
    too. To the system, its parent is the calling thread.
    """
    # Another number than the child's: else nothing would clear its close-on-exec flag.
    moved = os.dup(link) if link == LINK else link
    actions: list[tuple[int | str, ...]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, moved, LINK),
        *((os.POSIX_SPAWN_CLOSE, each) for each in _inheritable() if each != LINK),
    ]
    options = {
        "file_actions": actions,
        "setsigmask": (),
        "setsigdef": signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
    }
    spawn = original("os", "posix_spawn")
    try:
        try:
            pid = spawn(program, arguments, environment, setsid=True, **options)
        except NotImplementedError:  # macOS
            pid = spawn(program, arguments, environment, setpgroup=0, **options)
    finally:
        if moved != link:
            os.close(moved)
    return int(pid)


def _inheritable() -> list[int]:
    """Descriptors that an executed program would inherit, the standard ones aside."""
    found = []
    for name in os.listdir("/dev/fd"):
        try:
            if int(name) not in _STANDARD and os.get_inheritable(int(name)):
                found.append(int(name))
        except OSError:  # of the listing itself, or closed meanwhile
            continue
    return found


def send_descriptor(link: NativeSocket, descriptor: int) -> None:
    """Give a descriptor to the process at the other end of a socket pair."""
    rights = array.array("i", [descriptor])
    link.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


def receive_descriptor(link: NativeSocket) -> int:
    """Wait for what `send_descriptor` sends. `EOFError` when the other end is gone."""
    rights = array.array("i")
    data, ancillary, _, _ = link.recvmsg(1, socket.CMSG_SPACE(rights.itemsize))
    if not data or not ancillary:
        raise EOFError("the other end of the link is gone")
    rights.frombytes(ancillary[0][2][: rights.itemsize])
    os.set_inheritable(rights[0], False)
    return rights[0]
