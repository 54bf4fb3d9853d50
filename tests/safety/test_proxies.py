"""The proxies' configurations in deploy/, tried with the real nginx and Caddy."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import requests

from tests.e2e.clients import Api, Socket, read_poll, read_sse, sse_response
from tests.e2e.server import Server, free_port
from tests.e2e.waiting import eventually
from tests.safety.test_tickets import ticket_of

DEPLOY = Path(__file__).parents[2] / "deploy"

NGINX = """
{user}
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    # What Debian's own nginx.conf has: it must not get in the way.
    gzip on;
    gzip_types text/plain application/json text/event-stream;
    sendfile on;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/streaming.conf;
}}
"""


def nginx(folder: Path, port: int, upstream: int) -> list[str]:
    """The command that runs nginx on our file, with its ports and places exchanged."""
    text = (DEPLOY / "nginx.conf").read_text()
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{upstream}")
    text = text.replace("listen 80;", f"listen 127.0.0.1:{port};")
    text = text.replace("/var/log/nginx", str(folder))
    (folder / "streaming.conf").write_text(text)
    user = "user root;" if os.getuid() == 0 else ""  # it could not write into our folder
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, user=user))
    return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", f"{folder}/e.log"]


def caddy(folder: Path, port: int, upstream: int) -> list[str]:
    text = (DEPLOY / "Caddyfile").read_text()
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{upstream}")
    text = text.replace("streaming.example.com {", f"http://127.0.0.1:{port} {{", 1)
    text = text.replace("log {", f"log {{\n\t\toutput file {folder}/streaming.log", 1)
    (folder / "Caddyfile").write_text("{\n\tadmin off\n}\n" + text)
    return ["caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


@contextmanager
def running(command: list[str], folder: Path, port: int) -> Iterator[None]:
    with (folder / "said.log").open("wb") as log:
        home = {"HOME": str(folder), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        process = subprocess.Popen(command, stdout=log, stderr=log, env=home)
    try:
        url = f"http://127.0.0.1:{port}/healthz"
        eventually(lambda: process.poll() is not None or _answers(url), "the proxy answers")
        assert process.poll() is None, (folder / "said.log").read_text()
        yield
    finally:
        process.terminate()
        process.wait(10)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False


PROXIES = {"nginx": nginx, "caddy": caddy}


@pytest.fixture(scope="module", params=PROXIES)
def proxy(
    request: pytest.FixtureRequest, safe: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """The address of a proxy in front of the server, and its folder."""
    assert shutil.which(request.param, path="/usr/sbin:/usr/bin"), (
        f"apt-get install {request.param}"
    )
    folder, port = tmp_path_factory.mktemp(request.param), free_port()
    with running(PROXIES[request.param](folder, port, safe.port), folder, port):
        yield f"http://127.0.0.1:{port}", folder


@pytest.fixture
def there(proxy: tuple[str, Path], keys: dict[str, str]) -> Api:
    """Alice, through the proxy."""
    return Api(proxy[0], keys["alice"])


def test_events_pass_one_by_one_and_not_when_the_stream_ends(there: Api, alice: Api) -> None:
    job = alice.submit("asking")
    alice.reach(job, "waiting_for_input")
    with closing(read_sse(there, job)) as events:
        began = time.monotonic()
        types = [next(events)["type"] for _ in range(3)]
        assert types[-1] == "input.requested"
        assert time.monotonic() - began < 5
        alice.answer(job, {"ok": True})
        assert list(events)[-1]["type"] == "job.completed"


def test_a_stream_is_not_packed_and_not_kept(there: Api, alice: Api) -> None:
    job = alice.run("plain", {"words": ["a"]})["id"]
    asked = {"Accept-Encoding": "gzip, br"}

    with sse_response(there, f"/v1/jobs/{job}/events", headers=asked) as response:
        assert "Content-Encoding" not in response.headers
        assert "no-store" in response.headers["Cache-Control"]


def test_a_socket_opens_and_carries_commands(there: Api, alice: Api) -> None:
    with Socket(there, "/v1/ws") as connection:
        answer = connection.ask("submit", task="plain", input={"words": ["a"]})
        assert answer["type"] == "ack"
        kinds = [connection.receive()["type"] for _ in range(2)]
    assert kinds[0] == "job.queued"


def test_polls_wait_and_uploads_pass(there: Api, alice: Api) -> None:
    job = alice.run("plain", {"words": ["a"]})["id"]

    assert list(read_poll(there, job)) == alice.log_of(job)
    assert there.post("/v1/files", files={"file": b"x" * (3 << 20)}).status_code == 201


def test_a_job_that_is_waited_for_is_answered(there: Api) -> None:
    body = {"task": "sleeping", "input": {"seconds": 1}}

    answer = there.post("/v1/jobs", json=body, headers={"Prefer": "wait=20"}, timeout=30)

    assert (answer.status_code, answer.json()["status"]) == (200, "completed")


def test_many_requests_over_kept_connections_all_succeed(there: Api) -> None:
    with requests.Session() as session:
        statuses = []
        for number in range(60):
            response = session.get(f"{there.url}/v1/tasks", headers=there.headers, timeout=5)
            statuses.append(response.status_code)
            if number in (20, 40):  # beyond what either side keeps an idle connection for
                time.sleep(1.2 if number == 20 else 2.2)

    assert set(statuses) == {200}


def test_metrics_are_not_for_everybody_and_the_rest_is(there: Api, proxy: tuple[str, Path]) -> None:
    assert there.get("/healthz").ok
    if proxy[1].name.startswith("caddy"):
        assert there.get("/metrics").status_code == 404
    else:
        text = (DEPLOY / "nginx.conf").read_text()
        assert re.search(r"location = /metrics \{\s+allow 127.0.0.1;\s+deny all;", text)


def test_no_ticket_is_in_the_proxys_log(
    there: Api, proxy: tuple[str, Path], alice: Api, running: str
) -> None:
    ticket = ticket_of(alice, running)

    answer = requests.get(f"{there.url}/v1/jobs/{running}", params={"ticket": ticket}, timeout=5)

    log = proxy[1] / "streaming.log"
    assert answer.status_code == 200
    eventually(lambda: running in log.read_text(), "it is logged")
    assert ticket not in log.read_text()


def test_the_proxys_request_id_is_the_servers(there: Api) -> None:
    assert len(there.get("/v1/tasks").headers["X-Request-ID"]) >= 32


def test_a_feed_of_as_many_jobs_as_there_may_be_fits_with_its_ticket(
    there: Api, alice: Api
) -> None:
    jobs = [alice.submit("plain", {"words": ["a"]}) for _ in range(100)]
    ticket = ticket_of(alice, *jobs)
    with sse_response(Api(there.url), "/v1/events", job=jobs, ticket=ticket) as response:
        assert response.status_code == 200
