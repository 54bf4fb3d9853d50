"""The cases of the Autobahn test suite: an echo over our connections, and our own sessions."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import kosoku
import pytest
import requests

from tests.e2e.server import PATIENCE_S, ROOT, Server, free_port
from tests.e2e.waiting import eventually

#: A message of 4 MiB in pieces of 64 and 256 bytes has more pieces than a message may have: each
#: piece would cost us more than its bytes. It is closed with 1009.
TOO_MANY_PIECES = {"9.3.1", "9.3.2", "9.4.1", "9.4.2"}
#: Compression, which is not offered: each reader would have frames of its own.
COMPRESSION = ["12.*", "13.*"]
#: Messages of megabytes: a session of ours closes them with 1009, at once.
LARGE = ["9.*"]

CONFIGURATION = """
from gevent import monkey
monkey.patch_all()
worker_class = "gevent"
control_socket_disable = True
"""


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[str]:
    """The address of the echoing server."""
    (tmp_path / "gunicorn.conf.py").write_text(CONFIGURATION)
    address = f"127.0.0.1:{free_port()}"
    command = [Path(sys.executable).with_name("gunicorn"), "-c", tmp_path / "gunicorn.conf.py"]
    process = subprocess.Popen([*command, "-b", address, "tests.safety.echo:app"], cwd=ROOT)
    try:
        eventually(lambda: answers(f"http://{address}/none"), "it answers", PATIENCE_S)
        yield f"ws://{address}/"
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).status_code == 404
    except requests.RequestException:
        return False


async def run(
    address: str, cases: list[str] | None = None, exclude: Sequence[str] = ()
) -> list[Any]:
    try:
        return await kosoku.run_fuzzingclient(
            address, cases=cases, exclude_cases=[*COMPRESSION, *exclude], concurrency=4
        )
    except kosoku.FailureError as error:
        return error.results


@pytest.mark.slow
def test_every_case_passes_or_is_explained(echo: str) -> None:
    results = asyncio.run(run(echo))
    failed = [each.case_id for each in results if not each.passed]
    # Its time limits are short for a busy machine: what has failed is tried once more.
    again = asyncio.run(run(echo, failed))

    assert len(results) > 300
    still = {each.case_id: each.result for each in again if not each.passed}
    assert set(still) == TOO_MANY_PIECES, still


def is_answered_in_place(case: Any) -> bool:
    """Whether all that the case wants came in order, and for each echo an error of ours: what the
    cases send are no commands.
    """
    return any(
        len(wanted) == len(case.received) and all(map(_stands_for, wanted, case.received))
        for wanted in case.expected.values()
    )


def _stands_for(wanted: Any, found: Any) -> bool:
    if wanted[0] == "message" == found[0]:
        return str(found[1]).startswith('{"type":"error"')
    return bool(tuple(wanted) == tuple(found))


@pytest.mark.parametrize(
    "worker_class", ["gevent", pytest.param("gthread", marks=pytest.mark.slow)]
)
def test_our_own_sessions_pass_every_case(tmp_path: Path, worker_class: str) -> None:
    with Server(tmp_path, worker_class) as server:
        server.start()
        address = f"ws://127.0.0.1:{server.port}/v1/ws"
        results = asyncio.run(run(address, exclude=LARGE))
        failed = [e.case_id for e in results if not (e.passed or is_answered_in_place(e))]
        again = asyncio.run(run(address, failed)) if failed else []

        assert len(results) > 200
        assert sum(each.passed for each in results) > 100
        assert [e.case_id for e in again if not (e.passed or is_answered_in_place(e))] == []
        assert "Traceback" not in server.log_text()
