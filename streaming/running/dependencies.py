"""What attempts work with: the same for all attempts of a process."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from streaming.llm.base import Model
from streaming.running.task import TaskRegistry
from streaming.storage.base import Storage
from streaming.storage.snapshots import Snapshots


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Storage, tasks, model and limits, and the callback for ended jobs."""

    storage: Storage
    snapshots: Snapshots
    tasks: TaskRegistry
    model: Model
    max_event_bytes: int
    base_url: str
    #: Limits of what a job may write over all of its attempts.
    max_job_events: float = math.inf
    max_job_bytes: float = math.inf
    #: Value and unit of this service's own figures, by name.
    figures: Callable[[], Mapping[str, tuple[float, str]]] = dict
    #: The present pressure level.
    level: Callable[[], int] = lambda: 0
    #: Called at each end with task, status, seconds since the job's first start.
    ended: Callable[[str, str, float], object] = lambda *_: None
    #: Entered round a task's code, with the job's id, in the process and thread that run it.
    around: Callable[[str], AbstractContextManager[object]] = lambda _job: nullcontext()
