"""How this process is served, and what a platform gives and takes.

Processes that nobody asked for, workers with few threads or one, disks that do not last: what works
is fitted to it, what cannot work is said at once.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import logging
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

from flask import request

from streaming.config import THREAD_RESERVE, Settings
from streaming.errors import InvalidSettings
from streaming.server.gunicorn_parts import Config

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

logger = logging.getLogger(__name__)

#: Seconds that a computing thread keeps the interpreter from the others. With Python's 5 ms one
#: task that computes makes each answer take ten times as long as with this (oddity 5).
SWITCH_S = 0.0005
#: uWSGI has this in the environ.
_UWSGI = "uwsgi.version"
#: What `signal.alarm` and `signal.setitimer` end a process with.
ALARMS = (signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF)
#: What is in the environ of servers, besides gunicorn, that know how many processes they have.
_COUNTING = {_UWSGI, "mod_wsgi.version"}
#: gunicorn's classes whose workers serve each request in a thread, or one request at a time.
_THREADED, _SYNC = "gthread", "sync"


@dataclass(frozen=True, slots=True)
class Serving:
    """The server that this process belongs to, as far as it can be told."""

    #: Processes that serve the same app.
    several: bool = False
    #: Requests at once in this process; None where that is not bounded by threads.
    threads: int | None = None

    @classmethod
    def of_gunicorn(cls, cfg: Config) -> Self:
        """What gunicorn's settings say."""
        kind = _class_of(cfg)
        threads = {_THREADED: int(cfg.threads), _SYNC: 1}.get(kind)
        return cls(several=cfg.workers > 1, threads=threads)

    @classmethod
    def of_request(cls) -> Self:
        """What the present request and who called for it tell: for servers without our hooks."""
        environ, owner = request.environ, _serving_object()
        # Adapters say this of themselves without knowing it: only who counts them is believed.
        several = bool(environ.get("wsgi.multiprocess")) and bool(_COUNTING & environ.keys())
        if owner is not None and hasattr(owner, "adj"):  # waitress
            return cls(several=several, threads=int(owner.adj.threads))
        if owner is not None:
            told = cls.of_gunicorn(owner.cfg)
            return cls(several=several or told.several, threads=told.threads)
        if _UWSGI in environ and (cores := _cores_of_uwsgi()):
            return cls(several=several, threads=cores)
        alone = _is_real_server(environ) and not environ.get("wsgi.multithread")
        return cls(several=several, threads=1 if alone else None)

    def check(self, settings: Settings) -> None:
        """`InvalidSettings` where several processes would each have a log of their own."""
        if self.several and not settings.shared:
            raise InvalidSettings(
                "this server has several worker processes, but one process writes the log "
                f"({settings.log_url}): set workers = 1 (uWSGI: processes = 1, threads = 128) "
                "and, with gunicorn, take the hooks of streaming.hooks into gunicorn.conf.py; or "
                "keep the log in Redis: "
                f"{settings.redis_name}"
            )

    def fit(self, settings: Settings) -> Settings:
        """The settings with a limit of streams that leaves threads to other requests."""
        if self.threads is None or "max_streams" in settings.model_fields_set:
            return settings
        limit = max(1, self.threads - min(THREAD_RESERVE, self.threads // 2))
        if self.threads == 1:
            logger.warning(
                "this server's workers handle one request at a time: a stream keeps all others "
                "waiting, and is cut at the server's time-out. Use gunicorn's gevent or gthread "
                "workers (worker_class), or give uWSGI threads = 128"
            )
        elif self.threads < 2 * THREAD_RESERVE:
            logger.warning(
                "this server has %d threads: %d streams at once, for each keeps one. Set "
                "threads = 128, or use gunicorn's gevent workers",
                self.threads,
                limit,
            )
        return settings.model_copy(update={"max_streams": limit})


def refuse_sync_workers(cfg: Config) -> None:
    """`InvalidSettings` for gunicorn's sync workers: they cut each stream at their time-out."""
    if _class_of(cfg) == _SYNC:
        raise InvalidSettings(
            "gunicorn's sync workers handle one request at a time and cut each stream at the "
            "time-out: set worker_class to gevent, or to gthread with threads = 128"
        )


def warn_of_lone_process(settings: Settings) -> None:
    """Without a shared log there is one web process, whatever the platform asks for."""
    if settings.web_concurrency > settings.web_processes:
        logger.warning(
            "WEB_CONCURRENCY=%d is ignored: several processes need a shared log (%s)",
            settings.web_concurrency,
            settings.redis_name,
        )


def let_children_be_terminated() -> None:
    """Give children that tasks fork back the signals' own meaning: `terminate` ends them."""
    os.register_at_fork(after_in_child=_reset_signals)


def _reset_signals() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in ALARMS:
        if signal.getsignal(number) is _note_alarm:  # else it is the app's own
            signal.signal(number, signal.SIG_DFL)


def outlive_alarms() -> None:
    """An alarm that a task sets ends no process with all its jobs, unless the app has a handler.

    A task cannot have one: it runs in a thread.
    """
    for number in ALARMS:
        signal.signal(number, _note_alarm)


def _note_alarm(number: int, _frame: object) -> None:
    if number in _noted:  # timers may go off a thousand times a second
        return
    _noted.add(number)
    logger.error(
        "%s does nothing here: alarms (signal.alarm, signal.setitimer) are for programs that "
        "handle them in their main thread; a task looks at the time, waits with a timeout, or "
        "starts a process that has an alarm of its own",
        signal.Signals(number).name,
    )


#: Of these it has been said.
_noted: set[int] = set()


def run_exit_functions() -> None:
    """What the app and its tasks have registered for the end of this process; the threads of tasks
    are not waited for."""
    atexit._run_exitfuncs()  # noqa: SLF001 - there is no other way to run them
    logging.shutdown()


def end_children() -> None:
    """Kill what tasks have started and left behind, when nothing of this process is needed more."""
    import psutil  # comes with the extra "server"

    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()


def _class_of(cfg: Config) -> str:
    """The name of gunicorn's worker class: `sync` with several threads is `gthread`."""
    name = str(cfg.worker_class_str)
    return _THREADED if name == _SYNC and int(cfg.threads) > 1 else name


def _serving_object() -> Any:
    """gunicorn's worker, or waitress' server, that has called for this request."""
    for frame in _callers():
        module = str(frame.f_globals.get("__name__", ""))
        who: object = frame.f_locals.get("self")
        if module.startswith("gunicorn.workers.") and hasattr(who, "cfg"):
            return who
        if module == "waitress.task" and hasattr(who, "channel"):
            return getattr(who.channel, "server", None)
    return None


def _cores_of_uwsgi() -> int | None:
    """How many requests uWSGI takes at once in this process: its threads, or greenlets."""
    try:
        uwsgi = importlib.import_module("uwsgi")  # there within its processes alone
    except ImportError:
        return None
    return getattr(uwsgi, "cores", None)


def _callers() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the documented way to the calling frames
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_real_server(environ: WSGIEnvironment) -> bool:
    """Not a test's client, which says nothing of a server."""
    return bool(environ.get("SERVER_SOFTWARE") or _UWSGI in environ)


def body_places(settings: Settings) -> int | None:
    """How many threads slow bodies may hold: a quarter under gthread, where each holds one."""
    return max(4, settings.threads // 4) if settings.worker_class == "gthread" else None
