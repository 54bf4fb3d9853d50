"""The road of a token: model server → this service → reader, against what people write by hand.

N people, each with an answer that a model server writes at 20 tokens a second. Each measurement
starts a fresh server, pinned to one processor; the model server and the readers have the other
one. Rounds go over all servers by turns, and ratios are of the same round. The figure to compare
is tokens per processor second of all the server's processes, opening and closing included.

With --step nothing is paced: so many tokens at once, more when those have arrived. That tells
apart what opening, a token and the end cost, and hardly hangs on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from bench.road import Road, percentile
from bench.speed import Figures, machine, number
from bench.subjects import KEY, LOAD_CPU, SERVER_CPU, pin
from streaming.hooks import raise_descriptor_limit
from tests.e2e.server import ROOT, Server
from tests.e2e.waiting import eventually
from tests.ports import free_port

#: Tokens of an answer, tokens a second, and openings a second.
TOKENS, RATE, OPENINGS = 100, 20.0, 100.0
#: Servers that are left out where their program is not there.
INSTALLED = ("nginx", "flask-redis")
PROMPT = "Why is the sky blue?"
CHAT = {"model": "m", "stream": True, "max_tokens": TOKENS}


class Subject:
    """A server that is up: where it is, what a reader asks, and what it costs."""

    def __init__(self, port: int, roots: list[int], asked: bytes) -> None:
        self.address = ("127.0.0.1", port)
        self.asked = asked
        self._roots = roots

    def cpu_s(self) -> float:
        return sum(sum(each.cpu_times()[:2]) for each in self._processes())

    def memory(self) -> int:
        return sum(each.memory_info().rss for each in self._processes())

    def _processes(self) -> list[psutil.Process]:
        roots = [psutil.Process(pid) for pid in self._roots]
        return [p for root in roots for p in (root, *root.children(recursive=True))]


#: Starts a server in a folder of its own, with the model at an address.
Start = Callable[[Path, str], Any]


def post(port: int, path: str, body: dict[str, Any], **headers: str) -> bytes:
    """A POST, as raw bytes."""
    data = json.dumps(body).encode()
    named = {"Host": f"127.0.0.1:{port}", "Content-Type": "application/json", **headers}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(data)}", "", ""]).encode() + data


def ours(path: str, body: dict[str, Any], *, tree: Path = ROOT, **settings: Any) -> Start:
    """This service: the Procfile's command, a key, the durable log."""

    @contextmanager
    def start(folder: Path, model: str) -> Iterator[Subject]:
        server = Server(
            folder,
            "gevent",
            STREAMING_TASKS="bench.gateway_tasks",
            STREAMING_API_KEYS=KEY,
            STREAMING_LLM_BASE_URL=model,
            STREAMING_LLM_MODEL="m",
            STREAMING_MAX_STREAMS=20_000,
            STREAMING_JOBS_COOPERATIVE=5000,
            MODEL_URL=model,
            **settings,
        )
        server.root = tree
        with server:
            pin(SERVER_CPU)
            server.start()
            pin(LOAD_CPU)
            rights = {"Authorization": f"Bearer {KEY}", "Accept": "text/event-stream"}
            yield Subject(
                server.port, [server.process.pid], post(server.port, path, body, **rights)
            )

    return start


def by_hand(path: str, *, redis: bool = False) -> Start:
    """A view of `bench/passthrough.py`, with a Redis on the same processor where it wants one."""

    @contextmanager
    def start(folder: Path, model: str) -> Iterator[Subject]:
        port, log = free_port(), free_port()
        # In another folder: gunicorn would read our gunicorn.conf.py.
        command = [sys.executable, "-m", "gunicorn", "-k", "gevent", "-w", "1"]
        command += ["-b", f"127.0.0.1:{port}", "--worker-connections", "20000", "--backlog", "4096"]
        command += ["--log-level", "warning", "--no-control-socket", "bench.passthrough:app"]
        more = {"PYTHONPATH": str(ROOT), "MODEL_URL": model, "LOG_URL": f"redis://127.0.0.1:{log}"}
        commands = [command]
        if redis:
            kept = [
                "--dir",
                str(folder),
                "--appendonly",
                "yes",
                "--save",
                "",
                "--bind",
                "127.0.0.1",
            ]
            commands.insert(0, ["redis-server", "--port", str(log), *kept])
        with _running(commands, folder, more, port) as pids:
            yield Subject(port, pids, post(port, path, {**CHAT, "messages": _messages()}))

    return start


@contextmanager
def nginx(folder: Path, model: str) -> Iterator[Subject]:
    """A proxy in C that looks at nothing: the floor."""
    port, upstream = free_port(), model.removesuffix("/v1")
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/log;"
        f"events {{ worker_connections 20000; }} http {{ access_log off; {temporary}"
        f"server {{ listen 127.0.0.1:{port} backlog=4096; location = /readyz {{ return 200; }}"
        f"location / {{ proxy_pass {upstream}; proxy_http_version 1.1; proxy_buffering off; }}"
        "} }"
    )
    command = ["nginx", "-c", str(folder / "nginx.conf")]
    with _running([command], folder, {}, port) as pids:
        yield Subject(port, pids, post(port, "/v1/chat/completions", _chat()))


@contextmanager
def _running(
    commands: list[list[str]], folder: Path, more: dict[str, str], port: int
) -> Iterator[list[int]]:
    """Their process ids, once the last one answers on `port`."""
    pin(SERVER_CPU)
    with (folder / "server.log").open("ab") as log:
        begun = [
            subprocess.Popen(
                command,
                cwd=folder,
                env=os.environ | more,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            for command in commands
        ]
    pin(LOAD_CPU)
    try:
        eventually(lambda: _answers(port), "the server is ready", timeout_s=60)
        yield [process.pid for process in begun]
    finally:
        for process in begun:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _answers(port: int) -> bool:
    import requests

    try:
        return requests.get(f"http://127.0.0.1:{port}/readyz", timeout=2).ok
    except requests.RequestException:
        return False


def _messages() -> list[dict[str, str]]:
    return [{"role": "user", "content": PROMPT}]


def _chat() -> dict[str, Any]:
    return {**CHAT, "messages": _messages()}


def starts(most: int, against: Path | None) -> dict[str, Start]:
    """The servers by name; `most` readers at once."""
    asked = {"prompt": PROMPT, "max_tokens": TOKENS}
    generate = {"task": "generate", "input": asked}
    found: dict[str, Start] = {
        "ours": ours("/v1/jobs", generate),
        "ours-chat": ours("/v1/chat/completions", _chat()),
        "ours-task": ours("/v1/jobs", {"task": "road", "input": asked}, STREAMING_JOBS=most + 16),
        "flask": by_hand("/plain"),
    }
    if shutil.which("redis-server"):
        found["flask-redis"] = by_hand("/durable", redis=True)
    if shutil.which("nginx"):
        found["nginx"] = nginx
    if against is not None:
        found["before"] = ours("/v1/jobs", generate, tree=against)
    return found


def paced(subject: Subject, road: Road, readers: int) -> Figures:
    """As people read: tokens at their pace, openings spread."""
    before = subject.cpu_s()
    late = road.run(subject.address, subject.asked, readers=readers, per_s=OPENINGS)
    cpu_s = subject.cpu_s() - before
    return {
        "tokens per CPU s": road.read / cpu_s,
        "late s": late,
        "missing": road.missing(),
        "p50 ms": percentile(road.delays, 0.5),
        "p99 ms": percentile(road.delays, 0.99),
        "first token p50 ms": percentile(road.first_s, 0.5),
        "first token p99 ms": percentile(road.first_s, 0.99),
        "memory MB": subject.memory() / 1e6,
    }


def stepped(subject: Subject, road: Road, readers: int, at_once: int) -> Figures:
    """Without a pace: what each part costs."""
    marks = [subject.cpu_s()]
    road.open(subject.address, subject.asked, readers=readers, at_once=at_once)
    marks.append(subject.cpu_s())
    road.step(at_once)
    marks.append(subject.cpu_s())
    road.end()
    road.settle(subject.cpu_s)
    marks.append(subject.cpu_s())
    opened, wrote, ended = (b - a for a, b in zip(marks, marks[1:], strict=False))
    return {
        "CPU µs per token": 1e6 * wrote / max(1, road.read),
        "CPU ms to open": 1000 * opened / readers,
        "CPU ms to end": 1000 * ended / readers,
        "missing": road.missing(),
    }


def measure(start: Start, readers: int, at_once: int) -> Figures:
    """One server, one time."""
    road = Road(tokens=TOKENS, rate=0 if at_once else RATE)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="gateway-") as folder,
            start(Path(folder), road.url) as subject,
        ):
            _measure(subject, road, 3, at_once)  # warm
            road.clear()
            return _measure(subject, road, readers, at_once)
    finally:
        road.close()


def _measure(subject: Subject, road: Road, readers: int, at_once: int) -> Figures:
    return stepped(subject, road, readers, at_once) if at_once else paced(subject, road, readers)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench gateway", description=__doc__)
    parser.add_argument("--servers", default="nginx,flask,flask-redis,ours")
    parser.add_argument("--n", default="100,300,600", help="readers at once")
    parser.add_argument("--repeat", type=int, default=3, help="rounds; medians are shown")
    parser.add_argument(
        "--step", type=int, default=0, metavar="K", help="K tokens at once, unpaced"
    )
    parser.add_argument("--against", type=Path, help="another checkout, measured as `before`")
    parser.add_argument("--json", type=Path, help="where every run goes")
    asked = parser.parse_args()
    raise_descriptor_limit()
    counts = [int(n) for n in asked.n.split(",")]
    known = starts(max(counts), asked.against and asked.against.resolve())
    names = [*asked.servers.split(","), *(["before"] if asked.against else [])]
    unknown = [name for name in names if name not in known and name not in INSTALLED]
    if unknown:
        there = ", ".join(sorted({*known, *INSTALLED}))
        parser.error(f"no server {unknown[0]!r}; there are {there}")
    console = Console()
    console.print(machine())
    runs: list[dict[str, Any]] = []
    for readers in counts:
        chosen = [name for name in names if name in known]
        for _ in range(asked.repeat):
            for name in chosen:
                found = measure(known[name], readers, asked.step)
                runs.append({"server": name, "readers": readers, **found})
        console.print(drawn(runs, readers, chosen))
    if asked.json:
        asked.json.write_text(json.dumps({"machine": machine(), "runs": runs}, indent=1))


def drawn(runs: list[dict[str, Any]], readers: int, names: list[str]) -> Table:
    """Medians; the last line is this service's share of each other server's, of the same rounds."""
    found = {n: [r for r in runs if r["server"] == n and r["readers"] == readers] for n in names}
    figures = [name for name in found[names[0]][0] if name not in ("server", "readers")]
    table = Table(f"{readers} readers", *names)
    for figure in figures:
        medians = [statistics.median(run[figure] for run in found[name]) for name in names]
        table.add_row(figure, *map(number, medians))
    table.add_section()
    table.add_row(f"ours: {figures[0]}, ratio", *(ratio(found, name, figures[0]) for name in names))
    return table


def ratio(found: dict[str, list[dict[str, Any]]], name: str, figure: str) -> str:
    """The median of the rounds' ratios."""
    pairs = zip(found.get("ours", ()), found[name], strict=False)
    ratios = [mine[figure] / other[figure] for mine, other in pairs]
    return f"{statistics.median(ratios):.2f}" if ratios else ""


if __name__ == "__main__":
    main()
