"""`doctor` before real proxies: it finds exactly what is wrong with each, and nothing else."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench.proxy import Proxy as GatheringProxy
from streaming.cli import codes
from streaming.cli.checks import examine
from streaming.client import Client
from tests.browser.proxy import Proxy
from tests.cli.conftest import Run
from tests.e2e.clients import Api
from tests.e2e.server import ROOT, Server, free_port
from tests.safety.test_proxies import nginx, running

#: What is changed of deploy/nginx.conf, and what the doctor is to find bad then.
BUFFERING = "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;"
CASES: dict[str, tuple[dict[str, str], set[str]]] = {
    "good": ({}, set()),
    "buffering": (
        {"proxy_buffering off;": BUFFERING, "gzip off;": "gzip on; gzip_proxied any;"},
        {"buffering"},
    ),
    "five-second-gateway": (
        {"proxy_read_timeout 330s;": "proxy_read_timeout 5s;"},
        {"idle time-out", "long poll", "quiet WebSocket"},
    ),
    "no-upgrade": (
        {
            "proxy_set_header Upgrade $http_upgrade;": "",
            "Connection $streaming_connection": "Connection close",
        },
        {"WebSocket"},
    ),
}


#: What the page shows of them.
SHOWN = {"buffering": "buffering", "five-second-gateway": "idle time-out"}
PAGE = ROOT / "docs/command-line.md"


@contextmanager
def behind(server: Server, folder: Path, changes: dict[str, str]) -> Iterator[str]:
    """The address of an nginx in front of the server."""
    assert shutil.which("nginx", path="/usr/sbin:/usr/bin"), "apt-get install nginx"
    port = free_port()
    command = nginx(folder, port, server.port)
    config = folder / "streaming.conf"
    text = config.read_text()
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    config.write_text(text)
    with running(command, folder, port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that lets anybody in: what comes through a proxy is not from this machine."""
    folder = tmp_path_factory.mktemp("examined")
    with Server(folder, "gevent", STREAMING_ALLOW_ANONYMOUS=1) as server:
        yield server.start()


def examined(cli: Run, url: str, *options: str) -> tuple[int, list[dict[str, Any]]]:
    ended = cli("doctor", url, "--json", *options)
    assert ended.stderr == ""
    return ended.returncode, json.loads(ended.stdout)


def bad(findings: list[dict[str, Any]]) -> set[str]:
    return {finding["name"] for finding in findings if finding["state"] == "bad"}


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("case", CASES)
def test_the_doctor_finds_exactly_what_is_wrong(
    cli: Run, server: Server, api: Api, tmp_path: Path, case: str
) -> None:
    changes, expected = CASES[case]
    before = len(api.get("/v1/jobs?limit=500").json()["jobs"])

    with behind(server, tmp_path, changes) as url:
        code, findings = examined(cli, url)

    assert bad(findings) == expected, findings
    assert code == (codes.NOT_YET if expected else codes.DONE)
    assert all(finding["change"] for finding in findings if finding["state"] == "bad")
    assert len(api.get("/v1/jobs?limit=500").json()["jobs"]) == before
    if case in SHOWN:
        [told] = [finding["change"] for finding in findings if finding["name"] == SHOWN[case]]
        assert f"       change: {told}\n" in PAGE.read_text()


def test_a_proxy_that_gathers_answers_is_told_to_let_them_through(cli: Run, server: Server) -> None:
    with GatheringProxy(server.port, buffering=True) as proxy:
        code, findings = examined(cli, proxy.url, "--quick")

    [finding] = [each for each in findings if each["state"] == "bad"]
    assert (code, finding["name"]) == (codes.NOT_YET, "buffering")
    assert "unbuffered" in finding["change"]


def test_the_doctor_says_in_words_what_to_change(cli: Run, server: Server, tmp_path: Path) -> None:
    changes, _ = CASES["no-upgrade"]
    with behind(server, tmp_path, changes) as url:
        ended = cli("doctor", url, "--quick")

    assert ended.returncode == codes.NOT_YET
    assert "BAD  WebSocket: the upgrade is answered with" in ended.stdout
    assert "change: pass it on. nginx: proxy_http_version 1.1" in ended.stdout
    assert ended.stdout.endswith("1 to change\n")


def test_a_proxy_that_refuses_streams_is_found(cli: Run, server: Server) -> None:
    with Proxy(server.port) as proxy:
        proxy.rule("/events", status=403)
        code, findings = examined(cli, proxy.url, "--quick")

    assert (code, bad(findings)) == (codes.NOT_YET, {"SSE"})


def test_clocks_that_differ_are_found(server: Server) -> None:
    with Client(server.url) as client:
        late = examine(client, server.url, None, quick=True, clock=lambda: time.time() - 90)
        [clock] = [finding for finding in late if finding.name == "clock"]

    assert (clock.state, "90 s ahead" in clock.seen) == ("bad", True)
