"""One job, watched by an MCP client, curl and the openai package, as the README shows it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.e2e.server import ROOT, Server
from tests.e2e.waiting import eventually

CLIENTS = ROOT / "examples/one_job"
QUESTION = "What happens to a lease at a cancel?"


def start(server: Server, *command: str) -> subprocess.Popen[str]:
    told = {**os.environ, "STREAMING_URL": server.url, "TOKENS_PER_S": "20"}
    return subprocess.Popen(
        command, env=told, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.slow
def test_what_an_mcp_client_has_started_others_watch(server: Server) -> None:
    def job() -> str | None:
        jobs = server.api.get("/v1/jobs?task=agent&limit=1").json()["jobs"]
        return jobs[0]["id"] if jobs else None

    before = job()
    asked = start(server, sys.executable, str(CLIENTS / "mcp_client.py"), QUESTION)
    eventually(lambda: job() != before, "the job is there", timeout_s=30)
    made = job()
    assert made
    readers = [
        start(server, sys.executable, str(CLIENTS / "openai_client.py"), made),
        start(server, "curl", "-sN", f"{server.url}/v1/jobs/{made}/events"),
    ]
    shown, text, events = [each.communicate(timeout=60)[0] for each in (asked, *readers)]

    answer = server.api.snapshot(made)["text"]
    data = [json.loads(line[6:]) for line in events.splitlines() if line.startswith("data: ")]
    assert text.strip() == answer.strip() != ""
    assert shown.endswith(f"{answer.strip()}\n")
    assert "[4/4] Write the answer" in shown
    told = "".join(each["data"]["text"] for each in data if each["type"] == "text.delta")
    assert told == answer
