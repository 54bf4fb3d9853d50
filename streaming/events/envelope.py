"""The bytes of an envelope: the one place that knows how they are laid out. No I/O, no state.

`{"seq":7,"type":"log","job":"job_…","at":"…","data":{…}}`: always these members, in this order,
without spaces. So what is needed of every event (`Head`) is cut out, not parsed.
"""

from __future__ import annotations

from typing import NamedTuple

_NAMES = (b"seq", b"type", b"job", b"at")


class Head(NamedTuple):
    """What an envelope says besides its data."""

    seq: int
    type: str
    job: str
    at: str


def build(seq: int, kind: str, job: str, at: str, data: bytes) -> bytes:
    """The envelope of an event whose data are encoded already."""
    said = f'{{"seq":{seq},"type":"{kind}","job":"{job}","at":"{at}","data":'
    return b"%b%b}" % (said.encode(), data)


def head_of(envelope: bytes) -> Head:
    """The head of what `build` has made; `ValueError` for anything else."""
    _, n1, seq, n2, _, kind, _, n3, _, job, _, n4, _, at, _ = envelope.split(b'"', 14)
    if (n1, n2, n3, n4) != _NAMES:
        raise ValueError("no envelope of an event")
    return Head(int(seq[1:-1]), kind.decode(), job.decode(), at.decode())


def with_from(envelope: bytes, since: int) -> bytes:
    """The envelope of an event that stands for those from `since` on, too."""
    return b'{"from":%d,%b' % (since, envelope[1:])
