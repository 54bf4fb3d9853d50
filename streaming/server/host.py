"""A task host: the process that runs another one's tasks, in real threads.

It loads the same app, works with the log over its link, and serves nothing. It ends with the
process that has started it, and so does all that its tasks have started.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable

import psutil

from streaming import errors
from streaming.concurrency.locks import Latch
from streaming.concurrency.sockets import NativeSocket, native_socket
from streaming.errors import InvalidSettings, StreamingError, Unavailable
from streaming.running.attempt import Attempt
from streaming.running.host_process import BEAT_S
from streaming.running.host_submits import LinkRunner
from streaming.running.lifeline import end_group, hold
from streaming.running.spawn import LINK, receive_descriptor
from streaming.running.threads import Running, ThreadRunner
from streaming.server.deployment import (
    SWITCH_S,
    let_children_be_terminated,
    outlive_alarms,
    run_exit_functions,
)
from streaming.server.logging import keep_ours, log_to_stderr
from streaming.server.mount import mounts, servers_of
from streaming.server.server import Server
from streaming.server.unpatched import refuse_patching
from streaming.server.wrapped import load_served
from streaming.storage.link import LinkSnapshots, LinkStorage, Peer

logger = logging.getLogger("streaming.host")

#: What hosts add to their niceness: on one core the streams come first.
NICE = 5
#: Jobs at once: the serving process gives a host no more than it may have.
NO_LIMIT = 1 << 30


class TaskHost:
    """Runs what it is told to. The main thread loads the app, then waits for signals."""

    def __init__(self, link: NativeSocket) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._leaving = Latch()
        self._runner: ThreadRunner | None = None
        #: Kept, as servers keep the app that they serve.
        self._app: object = None
        self._peer = Peer(
            link,
            name="link",
            methods={"load": self._load},
            notes={"run": self._run, "stop": self._stop, "leave": self._leave},
            inline=True,
        )
        self._peer.when_over(end_group)  # nobody is there any more for whom to work
        self._storage = LinkStorage(self._peer)

    def run(self) -> None:
        """Until the process is to end."""
        self._peer.start()
        while not self._leaving.is_open:
            self._calls.get()()
        run_exit_functions()
        end_group()

    def _leave(self) -> None:
        self._leaving.open()
        self._calls.put(lambda: None)

    def _load(self, folder: str, path: list[str], argv: list[str], *app: str) -> str:
        """Load the app in the main thread, as apps expect it; the digest of its tasks."""
        loaded: queue.SimpleQueue[str | StreamingError] = queue.SimpleQueue()

        def load() -> None:
            try:
                os.chdir(folder)
                sys.path[:], sys.argv[:] = path, argv
                loaded.put(self._take_up(*app))
            except BaseException as error:
                logger.debug("the app did not load", exc_info=error)
                loaded.put(InvalidSettings(f"{type(error).__name__}: {error}"))

        self._calls.put(load)
        found = loaded.get()
        if isinstance(found, StreamingError):
            raise found
        return found

    def _take_up(self, uri: str, log_url: str, base_url: str, log_format: str) -> str:
        self._app = load_served(uri)
        server = _server_of(log_url, base_url)
        keep_ours()
        log_to_stderr(log_format)
        peer = self._peer
        self._storage.open(timeout=0)
        dependencies = server.make_dependencies(
            self._storage,
            LinkSnapshots(self._storage, peer),
            figures=lambda: {name: tuple(it) for name, it in peer.call("figures").items()},
            level=lambda: int(peer.call("level")),
            ended=lambda *end: peer.note("ended", *end),
        )
        self._runner = ThreadRunner(
            lambda job, on_trial: Attempt(job, dependencies, on_trial=on_trial),
            threads=NO_LIMIT,
            greenlets=1,
            queue=0,
            ended=self._over,
            stuck=lambda job: peer.note("stuck", job),
        )
        self._runner.start()
        server.adopt(self._storage, LinkRunner(peer))
        _be_nice()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()
        return server.tasks.digest()

    def _run(self, job: str) -> None:
        assert self._runner is not None
        self._runner.enqueue(job, cooperative=False)

    def _stop(self, job: str, kind: str, reason: str) -> None:
        assert self._runner is not None
        self._runner.stop(job, getattr(errors, kind)(reason))

    def _over(self, attempt: Running) -> None:
        self._peer.note("over", attempt.job, attempt.left)

    def _beat(self) -> None:
        """Tell that this process lives, and what it takes."""
        assert self._runner is not None
        process, over = psutil.Process(), self._peer.over
        while not over.is_open:
            load = self._runner.load()
            said = {"rss": process.memory_info().rss, "running": load.running, "stuck": load.stuck}
            try:
                self._peer.note("beat", said)
            except Unavailable:
                return
            over.wait(BEAT_S)


def _server_of(log_url: str, base_url: str) -> Server:
    """The server with this log and prefix, of those that the app has made."""
    for server in servers_of(mounts()):
        if (server.settings.log_url, server.base_url) == (log_url, base_url):
            return server
    raise InvalidSettings(f"the app has no Streaming with the log {log_url} under {base_url}")


def _be_nice() -> None:
    """Let the streams come first, from here on: loading the app was to be quick."""
    try:
        threads = [int(each) for each in os.listdir("/proc/self/task")]
    except OSError:  # where niceness is the process's
        os.nice(NICE)
        return
    for each in threads:  # those to come inherit it
        with contextlib.suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PROCESS, each, os.getpriority(os.PRIO_PROCESS, each) + NICE)


def prepare() -> None:
    """Signals, and what forked children are to lose; in the main thread."""
    faulthandler.enable()
    # Platforms signal every process: the serving process decides about this one. A handler, not
    # SIG_IGN, which programs that are executed would inherit.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    let_children_be_terminated()
    outlive_alarms()
    os.register_at_fork(after_in_child=lambda: os.close(LINK))
    sys.setswitchinterval(SWITCH_S)
    refuse_patching()


def main() -> None:
    """What the serving process starts."""
    os.closerange(LINK + 1, 1 << 20)
    os.set_inheritable(LINK, False)
    link = native_socket(LINK)
    hold(receive_descriptor(link))
    prepare()
    TaskHost(link).run()
