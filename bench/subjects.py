"""The servers that are measured, each pinned to one processor, behind one interface."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import requests

from bench.load import Target, get, upgrade
from tests.e2e.server import ROOT, Server
from tests.e2e.waiting import eventually
from tests.ports import free_port

#: The processor of the server, and that of the load.
SERVER_CPU, LOAD_CPU = 0, 1
KEY = "bench-key"


class Subject(ABC):
    """A server under measurement."""

    name: str
    url: str
    #: Events that a reader of `fan` gets besides those that were emitted; of `private`, too.
    extra = 0
    extra_private = 0

    @abstractmethod
    def root(self) -> psutil.Process:
        """The process that all others come from."""

    @abstractmethod
    def fan(self, transport: str) -> Target:
        """A reader of the one shared log: `sse`, `websocket` or `poll`."""

    @abstractmethod
    def emit(self, m: int, rate: float, size: int) -> None:
        """Have `m` events of `size` bytes made, at `rate` a second; 0 is as fast as possible."""

    @abstractmethod
    def private(self, tokens: int, rate: float) -> Target:
        """A reader of a job of its own, which begins now."""

    def cpu_s(self) -> float:
        """Processor seconds of all its processes."""
        return sum(sum(each.cpu_times()[:2]) for each in self._processes())

    def memory(self) -> int:
        """Resident bytes of all its processes."""
        return sum(each.memory_info().rss for each in self._processes())

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").partition(":")
        return host, int(port)

    def _processes(self) -> list[psutil.Process]:
        return [self.root(), *self.root().children(recursive=True)]


class Ours(Subject):
    """The Procfile's command, with keys and the durable log, through the public API."""

    name = "this service"
    extra = 3  # job.queued, job.started, input.received
    extra_private = 3  # job.queued, job.started, job.completed

    def __init__(self, server: Server) -> None:
        self._server = server
        self.url = server.url
        self._headers = {"Authorization": f"Bearer {KEY}"}
        self._job: str | None = None

    def root(self) -> psutil.Process:
        return psutil.Process(self._server.process.pid)

    def fan(self, transport: str) -> Target:
        self._job = self._job or self._submit("speed-fan", {})
        path = f"/v1/jobs/{self._job}"
        stamp = b'"text":"'
        if transport == "websocket":
            return Target(upgrade(f"{path}/ws", **self._headers), stamp)
        if transport == "sse":
            return Target(get(f"{path}/events", **self._headers), stamp)
        ask = partial(_poll, f"{path}/poll?wait=10&after=", self._headers)
        return Target(ask(b"0"), stamp, ask)

    def emit(self, m: int, rate: float, size: int) -> None:
        order = {"m": m, "rate": rate, "size": max(18, size - 110)}
        path = f"{self.url}/v1/jobs/{self._job}/input"
        answer = requests.post(path, json={"data": order}, headers=self._headers, timeout=30)
        answer.raise_for_status()

    def private(self, tokens: int, rate: float) -> Target:
        body = json.dumps({"task": "speed-tokens", "input": {"n": tokens, "rate": rate}}).encode()
        headers = {
            **self._headers,
            "Accept": "text/event-stream",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
        }
        return Target(b"POST" + get("/v1/jobs", **headers)[3:] + body, b'"text":"')

    def _submit(self, task: str, input: dict[str, Any]) -> str:
        body = {"task": task, "input": input}
        answer = requests.post(f"{self.url}/v1/jobs", json=body, headers=self._headers, timeout=30)
        answer.raise_for_status()
        return str(answer.json()["id"])


class Rival(Subject):
    """A queue for each reader, on the same gunicorn and gevent."""

    name = "a queue per reader"

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
        self.url = f"http://127.0.0.1:{port}"

    def root(self) -> psutil.Process:
        return psutil.Process(self._process.pid)

    def fan(self, transport: str) -> Target:
        if transport == "websocket":
            return Target(upgrade("/ws/a"), b'"t":')
        if transport == "sse":
            return Target(get("/sse/a"), b'"t":')
        ask = partial(_poll, "/poll/a?after=", {})
        return Target(ask(b"0"), b'"t":', ask)

    def emit(self, m: int, rate: float, size: int) -> None:
        order = {"m": m, "rate": rate, "size": size}
        requests.post(f"{self.url}/publish/a", json=order, timeout=30).raise_for_status()

    def private(self, tokens: int, rate: float) -> Target:
        return Target(get(f"/tokens?n={tokens}&rate={rate}"), b'"t":')


def _poll(path: str, headers: dict[str, str], after: bytes) -> bytes:
    return get(path + after.decode(), **headers)


@contextmanager
def ours(folder: Path, **settings: Any) -> Iterator[Subject]:
    """This service, started for one measurement."""
    folder.mkdir()
    server = Server(
        folder,
        "gevent",
        STREAMING_TASKS="bench.speed_tasks",
        STREAMING_API_KEYS=KEY,
        STREAMING_MAX_STREAMS=20_000,
        STREAMING_JOBS_COOPERATIVE=5000,
        **settings,
    )
    with server:
        pin(SERVER_CPU)
        server.start()
        pin(LOAD_CPU)
        yield Ours(server)


@contextmanager
def rival(folder: Path) -> Iterator[Subject]:
    """The usual way, started for one measurement."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-k", "gevent", "-w", "1", "-b"]
    command += [f"127.0.0.1:{port}", "--worker-connections", "20000", "--backlog", "4096"]
    command += ["--log-level", "warning", "--no-control-socket", "bench.rival:app"]
    pin(SERVER_CPU)
    # In another folder: gunicorn would read our gunicorn.conf.py.
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True)
    pin(LOAD_CPU)
    try:
        subject = Rival(process, port)
        eventually(lambda: _answers(subject.url), "the rival is ready", timeout_s=30)
        yield subject
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/readyz", timeout=2).ok
    except requests.ConnectionError:
        return False


def pin(cpu: int) -> None:
    """Run on one processor from now on, and what is started as well; where there are two."""
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) >= 2:
        os.sched_setaffinity(0, {cpu})
