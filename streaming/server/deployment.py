"""What a platform gives and takes: disks that do not last, processes that nobody asked for."""

from __future__ import annotations

import contextlib
import logging
import os
import signal

import psutil

from streaming.config import Settings

logger = logging.getLogger(__name__)

#: Seconds that a computing thread keeps the interpreter from the others. With Python's 5 ms one
#: task that computes makes each answer take ten times as long as with this.
SWITCH_S = 0.0005


def warn_of_lone_process(settings: Settings) -> None:
    """Without a shared log there is one web process, whatever the platform asks for."""
    if settings.web_concurrency > settings.web_processes:
        logger.warning(
            "WEB_CONCURRENCY=%d is ignored: several processes need a shared log (REDIS_URL)",
            settings.web_concurrency,
        )


def let_children_be_terminated() -> None:
    """Give children that tasks fork back the signals' own meaning: `terminate` ends them."""
    os.register_at_fork(after_in_child=_reset_signals)


def _reset_signals() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def end_children() -> None:
    """Kill what tasks have started and left behind, when nothing of this process is needed more."""
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
