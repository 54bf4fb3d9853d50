"""A job whose text differs at every run, killed with -9 at one event after the other.

`CHAOS_EVERY=1` kills at every event under both worker classes; otherwise it is every third under
gevent and a few under gthread.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from bench.account import Account
from bench.readers import Reader
from bench.tasks import STEPS
from tests.chaos.conftest import StartServer, Watch
from tests.e2e.server import Server
from tests.e2e.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

#: How the readers who leave in the middle come back.
TRANSPORTS = ("poll", "websocket")
#: A job of a second or less, with time between its events for a kill.
SHORT = {"bursts": 1, "words": 3, "pause_s": 0.02}

EVERY = os.environ.get("CHAOS_EVERY")
#: From one kill point to the next, in events.
STRIDE = {"gevent": int(EVERY or 3), "gthread": int(EVERY or 9)}


class Trial:
    """One job, its readers, and the file that its steps are noted in."""

    def __init__(
        self,
        server: Server,
        watch: Watch,
        folder: Path,
        *,
        at: int,
        task: str = "random-steps",
        script: dict[str, Any] = SHORT,
    ) -> None:
        self.server = server
        self.at = at
        self.runs = folder / f"runs-{at}"
        self.job = server.api.submit(task, {**script, "runs": str(self.runs)})
        self.stayed = watch(server, self.job, "sse")
        half = max(1, at // 2)
        self.left = [watch(server, self.job, each, leave_at=half) for each in TRANSPORTS]

    def reach(self) -> None:
        """Wait until the reader who stays has come to the event."""
        stayed = self.stayed
        eventually(
            lambda: stayed.account.last >= self.at or stayed.finished.is_set(), f"event {self.at}"
        )

    def finish(self) -> None:
        """Have the readers who left come back, and all of them read to the end."""
        for reader in self.left:
            reader.wait(10)
            reader.come_back()
        for reader in (self.stayed, *self.left):
            reader.wait(30)
        assert self.server.api.snapshot(self.job)["status"] == "completed"

    def assert_whole(self) -> None:
        """All hold the same text; each event came once; a finished step ran once."""
        shown, log = self.server.api.snapshot(self.job), self.server.api.log_of(self.job)
        for reader in (self.stayed, *self.left):
            assert_account(reader.account, shown)
        assert shown["output"]["text"] == shown["text"] != ""
        assert_steps_ran_once(log, self.runs.read_text().splitlines())


def assert_account(account: Account, shown: dict[str, Any]) -> None:
    assert account.torn == []
    assert +account.judge(shown["seq"]) == Counter()
    assert account.texts == {each["item"]: each["text"] for each in shown["texts"]}
    assert account.text == shown["text"]


def assert_steps_ran_once(log: list[dict[str, Any]], runs: list[str]) -> None:
    """No step began again once an event had said that it was completed."""
    attempt, completed_in = 0, {}
    for event in log:
        if event["type"] == "job.started":
            attempt = event["data"]["attempt"]
        if event["type"] == "step.updated" and event["data"]["status"] == "completed":
            assert event["data"]["id"] not in completed_in
            completed_in[event["data"]["id"]] = attempt
    assert list(completed_in) == list(STEPS)
    assert len(set(runs)) == len(runs)
    for step, finished_in in completed_in.items():
        ran_in = [int(line.split()[1]) for line in runs if line.split()[0] == step]
        assert max(ran_in) == finished_in


def test_a_worker_killed_at_any_event_costs_nobody_anything(
    start_server: StartServer, watch: Watch, tmp_path: Path, worker_class: str
) -> None:
    server = start_server(worker_class)
    events = server.api.run("random-steps", SHORT)["seq"]
    for at in range(1, events + 1, STRIDE[worker_class]):
        task = "random-steps" if at % 2 else "random-steps-cooperative"
        trial = Trial(server, watch, tmp_path, task=task, at=at)
        trial.reach()
        server.kill_worker()
        trial.finish()
        trial.assert_whole()


@pytest.mark.parametrize("at", [2, 12, 22])
def test_everything_killed_and_started_again_costs_nobody_anything(
    start_server: StartServer, watch: Watch, tmp_path: Path, at: int
) -> None:
    server = start_server("gevent")
    trial = Trial(server, watch, tmp_path, at=at)
    trial.reach()
    server.kill()
    server.start()
    trial.finish()
    trial.assert_whole()


def test_a_job_killed_in_each_of_its_steps_runs_each_to_its_end_once(
    start_server: StartServer, watch: Watch, tmp_path: Path
) -> None:
    server = start_server("gevent")
    script = {"bursts": 3, "words": 2, "pause_s": 0.3}
    trial = Trial(server, watch, tmp_path, at=1, script=script)
    for step in STEPS:
        eventually(lambda step=step: _is_running(trial.stayed, step), f"{step} runs", 20)
        server.kill_worker()
    trial.finish()
    trial.assert_whole()
    assert server.api.snapshot(trial.job)["attempt"] == 1 + len(STEPS)


def test_no_accepted_job_is_lost_when_everything_is_killed_amid_submissions(
    start_server: StartServer,
) -> None:
    server = start_server("gevent")
    accepted: list[str] = []

    def submit_until_it_is_gone(_: int) -> None:
        with contextlib.suppress(requests.RequestException):
            while True:
                accepted.append(server.api.submit("quiet"))

    for _ in range(2):
        before = len(accepted)
        with ThreadPoolExecutor(8) as pool:
            submitting = pool.map(submit_until_it_is_gone, range(8))
            eventually(lambda before=before: len(accepted) > before + 50, "jobs are accepted")
            server.kill()
            list(submitting)
        server.start()
    assert {
        job for job in accepted if server.api.get(f"/v1/jobs/{job}").status_code != 200
    } == set()


def _is_running(reader: Reader, step: str) -> bool:
    return bool(reader.account.texts.get(step))
