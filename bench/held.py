"""What a serving process holds: looked at before and after."""

from __future__ import annotations

from dataclasses import dataclass

import psutil
import requests


@dataclass(frozen=True)
class Held:
    """Of one process; `slots` are its open streams, `memory` is in bytes."""

    slots: int
    threads: int
    descriptors: int
    memory: int


def held(worker: psutil.Process, url: str) -> Held:
    """What `worker`, which serves at `url`, holds now."""
    streams = requests.get(f"{url}/readyz", timeout=30).json()["streams"]
    return Held(
        sum(streams.values()), worker.num_threads(), worker.num_fds(), worker.memory_info().rss
    )
