"""How this process is served, and what its platform provides.

Unexpected additional processes, workers with few threads, disks that do not last: settings are
adapted where that works, and what cannot work is refused at once.
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

#: Seconds for which a computing thread keeps the GIL from others. With Python's default of 5 ms,
#: one computing task makes every answer take ten times as long as with this (oddity 5).
SWITCH_S = 0.0005
#: uWSGI's name in the WSGI environ.
_UWSGI = "uwsgi.version"
#: What `signal.alarm` and `signal.setitimer` end a process with.
ALARMS = (signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF)
#: What is in the environ of servers, besides gunicorn, that know how many processes they have.
_COUNTING = {_UWSGI, "mod_wsgi.version"}
#: gunicorn's worker classes that serve each request in a thread, or one request at a time.
_THREADED, _SYNC = "gthread", "sync"


@dataclass(frozen=True, slots=True)
class Serving:
    """What is known of the server that this process belongs to."""

    #: Processes that serve the same app.
    several: bool = False
    #: Concurrent requests in this process; None where threads do not bound them.
    threads: int | None = None

    @classmethod
    def of_gunicorn(cls, cfg: Config) -> Self:
        """According to gunicorn's settings."""
        kind = _class_of(cfg)
        threads = {_THREADED: int(cfg.threads), _SYNC: 1}.get(kind)
        return cls(several=cfg.workers > 1, threads=threads)

    @classmethod
    def of_request(cls) -> Self:
        """According to the present request and its callers: for servers without our hooks."""
        environ, owner = request.environ, _serving_object()
        # Adapters set this without knowing: only servers that count processes are believed.
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
        """The settings, with a stream limit that leaves threads for other requests."""
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
    """Warn that without a shared log there is one web process, whatever the platform asks for."""
    if settings.web_concurrency > settings.web_processes:
        logger.warning(
            "WEB_CONCURRENCY=%d is ignored: several processes need a shared log (%s)",
            settings.web_concurrency,
            settings.redis_name,
        )


def let_children_be_terminated() -> None:
    """Reset signal handling in children that tasks fork, so that `terminate` ends them."""
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
    """Kill the processes that tasks have left behind, once nothing of this process is needed."""
    import psutil  # comes with the extra "server"

    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()


def _class_of(cfg: Config) -> str:
    """The name of gunicorn's worker class: `sync` with several threads is `gthread`."""
    name = str(cfg.worker_class_str)
    return _THREADED if name == _SYNC and int(cfg.threads) > 1 else name


def _serving_object() -> Any:
    """gunicorn's worker or waitress' server, found among this request's calling frames."""
    for frame in _callers():
        module = str(frame.f_globals.get("__name__", ""))
        who: object = frame.f_locals.get("self")
        if module.startswith("gunicorn.workers.") and hasattr(who, "cfg"):
            return who
        if module == "waitress.task" and hasattr(who, "channel"):
            return getattr(who.channel, "server", None)
    return None


def _cores_of_uwsgi() -> int | None:
    """How many requests uWSGI serves at once in this process: its threads, or greenlets."""
    try:
        uwsgi = importlib.import_module("uwsgi")  # importable only in its processes
    except ImportError:
        return None
    return getattr(uwsgi, "cores", None)


def _callers() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the documented way to the calling frames
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_real_server(environ: WSGIEnvironment) -> bool:
    """Whether a real server made the environ, and not a test client."""
    return bool(environ.get("SERVER_SOFTWARE") or _UWSGI in environ)


def body_places(settings: Settings) -> int | None:
    """How many request bodies may arrive slowly at once: under gthread, each holds a thread."""
    return max(4, settings.threads // 4) if settings.worker_class == "gthread" else None
