"""What gunicorn's hooks do: start in the worker, drain when it is told to leave."""

from __future__ import annotations

import errno
import gc
import logging
import mmap
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gunicorn.errors import AppImportError
from gunicorn.glogging import Logger as GunicornLogger
from gunicorn.util import close_graceful

from streaming.concurrency.platform import patched
from streaming.concurrency.threads import Thread
from streaming.concurrency.waking import make_waker
from streaming.errors import InvalidSettings
from streaming.server.deployment import SWITCH_S, warn_of_lone_process
from streaming.server.gunicorn_parts import Accepted, Arbiter, Config, Log, Worker
from streaming.server.heads import limit_heads
from streaming.server.logging import TEXT, log_to_stderr, make_formatter
from streaming.server.mount import servers_of
from streaming.server.process import ServingProcess
from streaming.server.server import Server
from streaming.server.wrapped import mounts_behind, servers_served
from streaming.web.metrics import FOLDER
from streaming.web.responses import sent_as_it_is

#: Seconds between looks whether the worker was told to leave.
LOOK_S = 0.1
#: Seconds that a thread waits for the client's end of a connection that it has ended.
LINGER_S = 1.0
#: Maximum seconds for which workers serve on after a reload, while those that take over load.
LOADING_S = 20.0
#: Seconds between two workers that cannot start.
TURN_S = 1.0
#: Events are made and dropped by the thousand, hardly ever in cycles: with Python's thresholds
#: (700, 10, 10) looking for cycles takes a quarter of the time of a busy process (oddity 13).
GC_THRESHOLDS = 50_000, 20, 10
#: The exit code of a worker that cannot boot: the master gives up and says so (oddity 6).
BOOT_ERROR = 113
#: Set where the listening sockets come from a predecessor or from systemd.
INHERITED = {"GUNICORN_FD", "LISTEN_FDS"}

#: What the name of the metrics' folder begins with.
METRICS_PREFIX = "streaming-metrics-"

logger = logging.getLogger("streaming.server")

#: How often gunicorn was told to reload (it wraps), shared by its master with all workers.
_reloads = mmap.mmap(-1, 1)
#: Which workers have come so far that they serve, by their age (it wraps), shared likewise.
_serving = mmap.mmap(-1, 256)


class GunicornWorker(ServingProcess):
    """What its worker and the master's reloads say."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.app_uri = str(getattr(worker.app, "app_uri", None) or "")
        self._born = _reloads[0]

    def succeeded(self) -> bool:
        return _reloads[0] != self._born

    def listening(self) -> bool:
        # gthread stops listening at once. A connection that is kept brings requests all the same.
        accepts = patched() and any(each.fileno() >= 0 for each in self._worker.sockets)
        return accepts or len(getattr(self._worker, "keepalived_conns", ())) > 0


class Logger(GunicornLogger):  # type: ignore[misc]
    """gunicorn's own lines in the same form as ours, and without keys and tickets too."""

    def setup(self, cfg: Config) -> None:
        super().setup(cfg)
        # What the app's config says is known when it is loaded; until then, the environment.
        self.write_as(os.environ.get("STREAMING_LOG_FORMAT", ""))

    def write_as(self, kind: str) -> None:
        """Write lines as `text` or `json`."""
        for log, form in ((self.error_log, TEXT), (self.access_log, "%(message)s")):
            for handler in log.handlers:
                handler.setFormatter(make_formatter(kind, form))


def on_starting(arbiter: Arbiter) -> None:
    """Keep gunicorn's "cannot boot" codes apart from what a task's `os._exit` may say."""
    arbiter.WORKER_BOOT_ERROR, arbiter.APP_LOAD_ERROR = BOOT_ERROR, BOOT_ERROR + 1
    if not INHERITED & os.environ.keys() and not arbiter.cfg.reuse_port:
        for address in arbiter.cfg.address:
            _say_if_taken(arbiter.log, address)


def post_fork(_arbiter: Arbiter, worker: Worker) -> None:
    """Let settings that the app refuses be said without a traceback."""
    load = worker.load_wsgi

    def load_plainly() -> None:
        with _refused_plainly(worker):
            load()

    worker.load_wsgi = load_plainly


def on_reload(arbiter: Arbiter) -> None:
    """Let the workers know that others are about to take over, and serve until these can."""
    _reloads[0] = (_reloads[0] + 1) % 256
    _serving[:] = bytes(len(_serving))
    told_off, oldest = arbiter.manage_workers, arbiter.worker_age

    def tell_off_once_others_serve() -> None:
        arbiter.manage_workers = told_off
        until = time.monotonic() + LOADING_S
        told: list[int] = []
        while not told and time.monotonic() < until:
            arbiter.reap_workers()
            new = [each.age for each in arbiter.WORKERS.values() if each.age > oldest]
            if len(new) < arbiter.cfg.workers or all(_serving[age % 256] for age in new):
                break  # one has died already, or all serve
            signals = arbiter.wait_for_signals(LOOK_S)
            told = [each for each in signals if each != signal.SIGCHLD]
        for each in told:  # to leave, perhaps: it does so as soon as this is over
            arbiter.signal(each, None)
        told_off()

    arbiter.manage_workers = tell_off_once_others_serve


def post_worker_init(worker: Worker) -> None:
    """Open the storage; while a predecessor drains, requests wait for it and /healthz answers."""
    # Ctrl-C reaches master and workers alike; the master tells its workers to leave, in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # And so they do when told to quit: gunicorn's own handler exits a moment later, wherever the
    # worker is by then, also in the middle of the drain (oddity 18).
    signal.signal(signal.SIGQUIT, worker.handle_exit)
    sys.setswitchinterval(SWITCH_S)
    gc.set_threshold(*GC_THRESHOLDS)
    if hasattr(worker, "tpool"):  # gthread
        limit_heads(worker)
        _close_in_threads(worker)
    elif patched():
        from streaming.server.idle import keep_idle_connections

        keep_idle_connections(worker)
    with _refused_plainly(worker):
        for server in servers_served(worker):
            _log_as(worker, server.settings.log_format)
            _start(worker, server)
    worker.wsgi = sent_as_it_is(worker.wsgi)
    gc.freeze()  # what is there by now stays
    _serving[worker.age % 256] = 1


def worker_exit(_arbiter: Arbiter, worker: Worker) -> None:
    """Leave only when everything is put away."""
    if worker.booted:
        for server in servers_of(mounts_behind(worker.wsgi)):
            server.wait_until_ended()


def child_exit(_arbiter: Arbiter, worker: Worker) -> None:
    """What a worker has counted stays; what it has open is gone."""
    if FOLDER in os.environ:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(_arbiter: Arbiter) -> None:
    """Remove the folder of the metrics, where gunicorn.conf.py has made it."""
    folder = Path(os.environ.get(FOLDER, ""))
    if folder.name.startswith(METRICS_PREFIX):
        shutil.rmtree(folder, ignore_errors=True)


def raise_descriptor_limit() -> None:
    """As many open descriptors as the system allows: each stream is one."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:  # macOS allows no more than this by default
        hard = max(soft, 10240)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _start(worker: Worker, server: Server) -> None:
    warn_of_lone_process(server.settings)
    server.start_or_wait(GunicornWorker(worker))
    Thread(lambda: _drain_after(worker, server), name="drain-watcher").start()


@contextmanager
def _refused_plainly(worker: Worker) -> Iterator[None]:
    """gunicorn prints its own error's message alone; of any other, a traceback."""
    try:
        yield
    except InvalidSettings as error:
        _await_turn(worker)
        raise AppImportError(f"cannot start: {error}") from error
    except SystemExit as error:  # else the master makes workers for ever, without a word
        _await_turn(worker)
        raise AppImportError(f"cannot start: the app exits while it loads ({error!r})") from error


def _await_turn(worker: Worker) -> None:
    """Refuse one worker after the other; exit without a word where another has.

    gunicorn halts at the first, and a second that fails meanwhile is a traceback of the master's.
    """
    until = time.monotonic() + (worker.age - 1) % worker.cfg.workers * TURN_S
    while worker.alive and time.monotonic() < until:
        time.sleep(LOOK_S)
    if not worker.alive:  # told to leave
        raise SystemExit(0)


def _say_if_taken(log: Log, address: object) -> None:
    """gunicorn tries again for 5 s, then gives up; it does not say what to do."""
    if not isinstance(address, tuple):  # a Unix socket
        return
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                log.error("port %d is taken by another program: set PORT to another", address[1])


def _close_in_threads(worker: Worker) -> None:
    """Have a connection closed in the thread that has served it.

    gunicorn waits up to 2 s for the client's end of it, in the thread that lets clients in
    (oddity 17). Here it is half of that: a thread is held meanwhile.
    """
    handle = worker.handle

    def handle_and_close(connection: Accepted) -> object:
        kept = handle(connection)
        if not kept:
            close_graceful(connection.sock, timeout=LINGER_S)
            connection.close = lambda **_: None
            return False
        return kept

    worker.handle = handle_and_close


def _log_as(worker: Worker, kind: str) -> None:
    """Our log lines in gunicorn's form, unless the app has arranged logging by itself."""
    if isinstance(worker.log, Logger):
        worker.log.write_as(kind)
    log_to_stderr(kind)


def _drain_after(worker: Worker, server: Server) -> None:
    # Watched from a thread: a signal handler under gevent must do no work.
    waker = make_waker()
    while worker.alive:
        waker.wait(LOOK_S)
        dead = server.dead()
        if dead and worker.alive:
            logger.critical("threads have ended (%s): this worker is replaced", ", ".join(dead))
            os.kill(os.getpid(), signal.SIGTERM)
            break
    server.drain()
