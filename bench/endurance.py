"""Ten minutes at 80 % of what one server can do, with jobs and readers that come and go.

First the capacity: jobs at 20 tokens a second, more and more of them, until they do not keep that
pace. After that, 80 % of them. Each has one reader, who is cut at random and
comes back with its position over SSE, WebSocket or long poll; when a job has ended, another one is
begun. Prints what the server held, minute by minute. Exit status 0 only when no
event was lost or repeated, nothing was refused, and memory, descriptors and threads stayed.
"""

from __future__ import annotations

import argparse
import random
import re
import selectors
import socket
import sys
import tempfile
import time
from collections import Counter, deque
from dataclasses import dataclass
from pathlib import Path

import requests
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench.held import Held, held
from bench.load import get, upgrade
from bench.subjects import KEY, Subject, ours
from streaming.hooks import raise_descriptor_limit
from tests.e2e.waiting import eventually

#: Tokens of a job, and how many a second.
TOKENS, RATE = 300, 20.0
#: Events of a job besides its tokens: queued, started, completed.
EXTRA = 3
#: Seconds after which a reader is cut, and for which it is away.
STAYS_S, AWAY_S = (2.0, 12.0), (0.0, 0.5)
#: How often readers take each transport.
TRANSPORTS = ("sse", "sse", "websocket", "websocket", "poll")
#: Jobs that are added in one step towards the capacity, and seconds for which each is measured.
STEP, STEP_S = 50, 5.0
#: The share of their events that must come for that the jobs keep their pace: some begin or end.
PACE = 0.9
#: Seconds over which the first jobs are begun, so that they do not end together.
RAMP_S = TOKENS / RATE
#: The share of the capacity that is asked for.
SHARE = 0.8
#: Seconds after which everything that is loaded or filled once is there.
FIRST_S = 60.0
#: Seconds between two looks at what is held.
LOOK_S = 5.0
#: By how much the memory may grow in the last two thirds: by then all that is bounded is full.
GROWTH = 0.1
#: Descriptors that may come later: files that are opened when they are first needed.
SPARE = 5
#: Bytes of logs that are kept: little, so that retention has work to do.
RETENTION = 128 << 20

HEADERS = {"Authorization": f"Bearer {KEY}"}
#: An event, or those that were merged into it.
EVENT = re.compile(rb'\{(?:"from":(\d+),)?"seq":(\d+),"type":"([a-z._]+)"')
JOB = re.compile(rb"/v1/jobs/(job_\w+)")
#: What of an event may still be missing at the end of a read.
LONGEST_HEAD = 80


@dataclass
class Seat:
    """One job after the other, with its reader: no thread, a socket in the crowd's loop."""

    job: str | None = None
    position: int = 0
    sock: socket.socket | None = None
    transport: str = ""
    rest: bytes = b""
    #: When something is to be done: the connection cut, or opened again.
    due: float = 0.0


class Crowd:
    """Seats on one server."""

    def __init__(self, subject: Subject, count: int, *, seed: int) -> None:
        self._subject = subject
        self._random = random.Random(seed)
        self._selector = selectors.DefaultSelector()
        self._waiting: deque[Seat] = deque()
        self._open: deque[Seat] = deque()
        self.faults: Counter[str] = Counter()
        self.figures: Counter[str] = Counter()
        self.add(count, within_s=RAMP_S)

    def add(self, count: int, *, within_s: float) -> None:
        """More seats, which are taken one after the other."""
        now = time.monotonic()
        self._waiting.extend(Seat(due=now + within_s * number / count) for number in range(count))

    def run(self, seconds: float) -> None:
        """Serve the seats for a while."""
        until = time.monotonic() + seconds
        while (now := time.monotonic()) < until:
            for key, _ in self._selector.select(0.02):
                self._read(key.data)
            for seats, act in ((self._waiting, self._come), (self._open, self._cut)):
                for _ in range(len(seats)):
                    seat = seats.popleft()
                    if seat.due <= now:
                        act(seat)
                    else:
                        seats.append(seat)

    @property
    def events(self) -> int:
        """Events of logs that were delivered, in whatever pieces."""
        return self.figures["events"] + self.figures["merged"]

    def close(self) -> None:
        """Leave, all at once."""
        for key in list(self._selector.get_map().values()):
            key.data.sock.close()
        self._selector.close()

    def _come(self, seat: Seat) -> None:
        """Open a connection: for a new job, or where the last one was left."""
        seat.sock = socket.create_connection(self._subject.address, timeout=30)
        seat.rest = b""
        if seat.job is None:
            seat.transport, seat.position = "sse", 0
            request = self._subject.private(TOKENS, RATE).request
        else:
            seat.transport = self._random.choice(TRANSPORTS)
            request = self._request(seat)
        seat.sock.sendall(request)
        seat.sock.setblocking(False)
        seat.due = time.monotonic() + self._random.uniform(*STAYS_S)
        self._selector.register(seat.sock, selectors.EVENT_READ, seat)
        self._open.append(seat)
        self.figures["connections"] += 1

    def _request(self, seat: Seat) -> bytes:
        path = f"/v1/jobs/{seat.job}"
        if seat.transport == "sse":
            return get(f"{path}/events?after={seat.position}", **HEADERS)
        if seat.transport == "websocket":
            return upgrade(f"{path}/ws?after={seat.position}", **HEADERS)
        return get(f"{path}/poll?wait=10&after={seat.position}", **HEADERS)

    def _cut(self, seat: Seat) -> None:
        """Leave, in the midst of whatever comes; unless it has gone already."""
        if seat.sock is not None:
            self.figures["cuts"] += 1
            self._leave(seat)

    def _leave(self, seat: Seat) -> None:
        assert seat.sock is not None
        self._selector.unregister(seat.sock)
        seat.sock.close()
        seat.sock = None
        seat.due = time.monotonic() + self._random.uniform(*AWAY_S)
        self._waiting.append(seat)

    def _read(self, seat: Seat) -> None:
        assert seat.sock is not None
        try:
            data = seat.sock.recv(1 << 18)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self.faults["closed by the server"] += 1
            self._gone(seat)
            return
        data = seat.rest + data
        if data.startswith(b"HTTP/1.1 "):
            if not data.startswith((b"HTTP/1.1 200", b"HTTP/1.1 101")):
                self.faults[f"answered {data[9:12].decode(errors='replace')}"] += 1
                self._gone(seat)
                return
            if seat.job is None and (started := JOB.search(data)):
                seat.job = started[1].decode()
        end = 0
        for found in EVENT.finditer(data):
            end = found.end()
            if self._took(seat, found):
                return
        seat.rest = data[max(end, len(data) - LONGEST_HEAD) :]
        if seat.transport == "poll" and data.rstrip().endswith(b"}"):
            seat.rest = b""
            seat.sock.sendall(self._request(seat))

    def _took(self, seat: Seat, found: re.Match[bytes]) -> bool:
        """Account for an event; whether it was the last of its job."""
        first, last = int(found[1] or found[2]), int(found[2])
        self.figures["events"] += 1
        self.figures["merged"] += last - first
        if first != seat.position + 1:
            self.faults["repeated" if first <= seat.position else "lost"] += 1
        seat.position = last
        if found[3] != b"job.completed":
            self.faults["jobs not completed"] += found[3] in (b"job.failed", b"job.cancelled")
            return False
        self.faults["jobs of another length"] += last != TOKENS + EXTRA
        self.figures["jobs"] += 1
        self._gone(seat)
        return True

    def _gone(self, seat: Seat) -> None:
        """The job is over, or its reader was sent away: the next one."""
        self._open.remove(seat)
        seat.job = None
        self._leave(seat)


def state(subject: Subject) -> Held:
    [worker] = subject.root().children()
    return held(worker, subject.url)


def shown(state: Held) -> list[str]:
    return [f"{state.memory / 1e6:.0f}", str(state.descriptors), str(state.threads)]


def capacity(folder: Path, *, seed: int) -> int:
    """Jobs at once that one server can serve at their pace."""
    with ours(folder) as subject:
        crowd, jobs, share = Crowd(subject, STEP, seed=seed), STEP, 1.0
        crowd.run(RAMP_S)
        while share > PACE:
            crowd.add(STEP, within_s=STEP_S)
            jobs += STEP
            crowd.run(2 * STEP_S)
            before = crowd.events
            crowd.run(STEP_S)
            share = (crowd.events - before) / (STEP_S * RATE * jobs)
        crowd.close()
        return jobs - STEP


def endure(subject: Subject, crowd: Crowd, minutes: float) -> tuple[Table, list[str]]:
    """The figures, and what is not as it should be."""
    table = Table("", "memory, MB", "descriptors", "threads", title="endurance")
    before = state(subject)
    table.add_row("before", *shown(before))
    crowd.run(FIRST_S)
    events, cpu_s, began = crowd.events, subject.cpu_s(), time.monotonic()
    states = [state(subject)]
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("seconds", total=60 * minutes - FIRST_S)
        while (passed := time.monotonic() - began) < 60 * minutes - FIRST_S:
            progress.update(bar, completed=passed)
            crowd.run(LOOK_S)
            states.append(state(subject))
    for number in range(0, len(states), max(1, round(60 / LOOK_S))):
        seconds = FIRST_S + number * LOOK_S
        table.add_row(f"after {seconds / 60:.0f} min", *shown(states[number]))
    late, early = states[-1], states[len(states) // 3]
    table.add_row("at the end", *shown(late))
    rate, load = (crowd.events - events) / passed, (subject.cpu_s() - cpu_s) / passed
    crowd.close()
    eventually(lambda: _is_idle(subject), "all jobs are over", timeout_s=60 + TOKENS / RATE)
    after = state(subject)
    table.add_row("when all have left", *shown(after))
    table.caption = f"{rate:,.0f} events/s, {load:.0%} of a processor; " + ", ".join(
        f"{count:,} {name}" for name, count in crowd.figures.items()
    )
    faults = [f"{name}: {count}" for name, count in crowd.faults.items() if count]
    if late.memory > early.memory * (1 + GROWTH):
        faults.append("the memory grew")
    if after.descriptors > before.descriptors + SPARE:
        faults.append("descriptors were not given back")
    if after.threads > early.threads:
        faults.append("threads were not given back")
    return table, faults


def _is_idle(subject: Subject) -> bool:
    running = requests.get(f"{subject.url}/readyz", timeout=30).json()["jobs"]["running"]
    return not running and not state(subject).slots


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench endurance", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--jobs", type=int, help="jobs at once, instead of measuring the capacity")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    raise_descriptor_limit()
    console = Console()
    with tempfile.TemporaryDirectory(prefix="endurance-") as folder:
        jobs = asked.jobs
        if jobs is None:
            most = capacity(Path(folder) / "capacity", seed=asked.seed)
            jobs = round(SHARE * most)
            console.print(f"capacity: {most} jobs at once, {RATE * most:,.0f} events/s")
        with ours(Path(folder) / "endurance", STREAMING_RETENTION_BYTES=RETENTION) as subject:
            table, faults = endure(subject, Crowd(subject, jobs, seed=asked.seed), asked.minutes)
    console.print(table)
    for fault in faults:
        console.print(f"[red]{fault}[/red]")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
