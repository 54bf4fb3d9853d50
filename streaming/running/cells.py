"""Processes of their own, one job in each: for jobs that may have killed their worker.

What dies there takes nobody along, and was alone: so it is known who did it.
"""

from __future__ import annotations

import logging
import multiprocessing
import threading
import time
from importlib import import_module
from multiprocessing.process import BaseProcess

logger = logging.getLogger(__name__)

#: Seconds in which a process starts, and how many may do so at once: loading the app takes time.
START_S, STARTING = 0.5, 2
#: The exit code of a process whose own was not told: the one that it was forked from is gone.
UNKNOWN = 255


class Cells:
    """Starts the processes and waits for them, in the threads of those who ask."""

    def __init__(self, entry: str) -> None:
        """`entry` (module:function) runs there with the job's id, and ends the process."""
        self._entry = entry
        # Forked from a process that has the modules loaded and no threads: soon there, and most
        # of the memory is shared.
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([entry.partition(":")[0]])
        self._starting = threading.BoundedSemaphore(STARTING)
        self._lock = threading.Lock()
        self._processes: set[BaseProcess] = set()
        self._leaving = threading.Event()

    def run(self, job: str) -> int:
        """Run the job in a process of its own until that is over: its exit code, 0 in order.

        When the cells are told to leave it is 0, whether or not the job has ended.
        """
        process = self._context.Process(
            target=_enter, args=(self._entry, job), name=f"cell-{job[-8:]}"
        )
        with self._starting:
            with self._lock:
                if self._leaving.is_set():
                    return 0
                process.start()
                self._processes.add(process)
            process.join(START_S)
        process.join()
        with self._lock:
            self._processes.discard(process)
        return 0 if self._leaving.is_set() else process.exitcode or 0

    def leave(self) -> None:
        """Have all end in order, as at SIGTERM; no other is started."""
        with self._lock:
            self._leaving.set()
            for process in self._processes:
                process.terminate()

    def kill(self, *, after_s: float) -> None:
        """Kill those that have not ended within so many seconds."""
        until = time.monotonic() + after_s
        with self._lock:
            processes = list(self._processes)
        for process in processes:
            process.join(max(0.0, until - time.monotonic()))
            process.kill()


def _enter(entry: str, job: str) -> None:
    module, _, name = entry.partition(":")
    getattr(import_module(module), name)(job)
