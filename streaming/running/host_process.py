"""One task host, as the serving process sees it: a child that runs attempts over a link."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from streaming.concurrency.pending import Pending
from streaming.concurrency.platform import original
from streaming.concurrency.sockets import native_pair
from streaming.errors import StreamingError, Unavailable
from streaming.running.host_attempt import HostedAttempt
from streaming.running.spawn import send_descriptor, start_process
from streaming.storage.base import Storage
from streaming.storage.link import LinkServer, Peer
from streaming.storage.snapshots import Snapshots

logger = logging.getLogger(__name__)

#: Seconds between two signs of life of a host.
BEAT_S = 1.0
#: Seconds without one, in which it has not computed either, after which a host is replaced.
SILENCE_S = 10.0
#: Seconds that a host which was told to leave may take before it is killed.
LEAVE_S = 1.0
#: The exit code of a process of which somebody else has taken the word.
UNKNOWN = 255

#: What a host runs: its end of the link is descriptor 3, all else comes over it.
_BOOT = (
    "import sys; sys.path.insert(0, sys.argv.pop()); from streaming.server.host import main; main()"
)


@dataclass(frozen=True, slots=True)
class HostedApp:
    """Which app a host loads, and which of its servers is meant."""

    #: As gunicorn takes it: `module:name` or `module:factory()`.
    uri: str
    log_url: str
    base_url: str
    #: What the host's tasks must be like: see `TaskRegistry.digest`.
    digest: str


class HostProcess:
    """From its start to its end. All but the callbacks is for the one thread that watches it."""

    def __init__(
        self,
        app: HostedApp,
        storage: Storage,
        snapshots: Snapshots,
        *,
        lone: bool,
        methods: Mapping[str, Callable[..., object]],
        notes: Mapping[str, Callable[..., object]],
        news: Callable[[], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`news` is called, from any thread, when there is something to look at."""
        self._clock = clock
        self._news = news
        #: For one job that may have killed its hosts.
        self.lone = lone
        self.app = app
        self.started_at = clock()
        #: What runs there, by job; under the lock of the owner.
        self.attempts: dict[str, HostedAttempt] = {}
        #: Of these, the jobs that have ended and whose code has not returned.
        self.stuck: set[str] = set()
        self.loaded: Pending[object] | None = None
        self.ready = False
        #: Since when it has had nothing to do but wait for stuck threads.
        self.idle_since: float | None = None
        #: What it said of itself in its last sign of life.
        self.said: dict[str, float] = {}
        self._code: int | None = None
        self._beaten_at = clock()
        self._computed = (0.0, clock())
        ours, theirs = native_pair()
        self.peer = Peer(ours, name="host-link", methods=methods)
        self.link = LinkServer(self.peer, storage, snapshots)
        self.peer.add(notes={name: _bound(call, self) for name, call in notes.items()})
        self.peer.add(notes={"beat": self._take_beat})
        self.peer.when_over(news)
        try:
            self.pid = start_process(
                sys.executable,
                [sys.executable, "-c", _BOOT, str(Path(__file__).parents[2])],
                link=theirs.fileno(),
                environment={**os.environ, "STREAMING_ROLE": "host"},
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        ends, self._lifeline = os.pipe()
        try:
            send_descriptor(ours, ends)
        except OSError as error:
            logger.debug("task host %d has ended at once: %s", self.pid, error)
        finally:
            os.close(ends)

    def load(self, *, level: str) -> None:
        """Have it load the app; `loaded` is settled when it has, or could not."""
        self.peer.start()
        place = (os.getcwd(), list(sys.path), list(sys.argv))
        app = (self.app.uri, self.app.log_url, self.app.base_url)
        try:
            self.loaded = self.peer.begin("load", *place, *app, level)
        except Unavailable as error:
            self.loaded = Pending()
            self.loaded.error, self.loaded.done = error, True
            return
        self.loaded.waker = _Telling(self._news)

    @property
    def has_loaded(self) -> bool:
        """Whether it has answered to `load` that it has the app."""
        return self.loaded is not None and self.loaded.done and self.loaded.error is None

    def run(self, attempt: HostedAttempt) -> None:
        """Have it run an attempt, which is in `attempts` already."""
        with contextlib.suppress(Unavailable):  # it has just died: that is seen in a moment
            self.peer.note("run", attempt.job)

    def stop(self, job: str, kind: str, reason: str) -> None:
        """Have an attempt unwound."""
        with contextlib.suppress(Unavailable):
            self.peer.note("stop", job, kind, reason)

    def computing_s(self) -> float:
        """Seconds of processor time that it has used; 0 where the system does not tell."""
        fields = self._stat()
        ticks = int(fields[11]) + int(fields[12]) if fields else 0
        return ticks / os.sysconf("SC_CLK_TCK")

    def stopped(self) -> bool:
        """Whether somebody has stopped it (SIGSTOP)."""
        fields = self._stat()
        return bool(fields) and fields[0] == "T"

    def silent(self) -> bool:
        """Whether it has said nothing and done nothing for too long."""
        now = self._clock()
        if now - self._beaten_at < 2 * BEAT_S:
            return False
        computed = self.computing_s()
        if computed != self._computed[0]:
            self._computed = (computed, now)
        return now - max(self._computed[1], self._beaten_at) > SILENCE_S

    def died(self) -> int | None:
        """Its exit code, or minus the signal that ended it; None while it lives."""
        if not hasattr(os, "waitid"):  # macOS
            return self._died_by_waitpid()
        waitid = original("os", "waitid")
        try:  # looked at, not taken: as long as it is not taken, its number is no one else's
            found = waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return UNKNOWN
        if found is None:
            return None
        return int(found.si_status) if found.si_code == os.CLD_EXITED else -int(found.si_status)

    def _died_by_waitpid(self) -> int | None:
        if self._code is None:
            with contextlib.suppress(ChildProcessError):
                pid, status = original("os", "waitpid")(self.pid, os.WNOHANG)
                self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def leave(self) -> None:
        """Ask it to end in order."""
        with contextlib.suppress(Unavailable):
            self.peer.note("leave")

    def end(self) -> None:
        """Kill what is left of it and of all that it has started, and take its word."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        os.close(self._lifeline)
        with contextlib.suppress(ChildProcessError):
            original("os", "waitpid")(self.pid, 0)
        self.peer.close()
        self.link.release()

    def _stat(self) -> Sequence[str]:
        """What proc(5) says behind the name: state, …"""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return ()

    def _take_beat(self, said: dict[str, float]) -> None:
        self._beaten_at = self._clock()
        self.said = said


class _Telling:
    def __init__(self, tell: Callable[[], object]) -> None:
        self._tell = tell

    def wake(self) -> None:
        self._tell()


def _bound(call: Callable[..., object], host: HostProcess) -> Callable[..., object]:
    return lambda *args: call(host, *args)


def why(error: BaseException) -> str:
    """What a failed start is told as."""
    return error.detail if isinstance(error, StreamingError) else str(error)


def how_it_ended(code: int) -> str:
    """An exit code, or minus a signal's number, for people."""
    if code == UNKNOWN:
        return "nobody knows how"
    return f"signal {-code}" if code < 0 else f"exit code {code}"
