"""One server for all tests of rights: keys in a file, with scopes and owners."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streaming.web.keys import make_key, write_keys
from tests.e2e.clients import Api
from tests.e2e.server import Server

#: Names of keys, with their owners and scopes.
RIGHTS = {
    "alice": ("alice", ("submit", "read", "cancel")),
    "reader": ("alice", ("read",)),
    "submitter": ("alice", ("submit",)),
    "canceller": ("alice", ("cancel",)),
    "bob": ("bob", ("submit", "read", "cancel")),
    "root": ("root", ("submit", "read", "cancel", "admin")),
}
FRIEND, FOE = "https://friend.example", "https://evil.example"


@pytest.fixture(scope="session")
def safe_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("safe")


@pytest.fixture(scope="session")
def keys(safe_folder: Path) -> dict[str, str]:
    """The text of each key."""
    made = {name: make_key(owner, scopes) for name, (owner, scopes) in RIGHTS.items()}
    write_keys(safe_folder / "keys", [key for _, key in made.values()])
    return {name: text for name, (text, _) in made.items()}


@pytest.fixture(scope="session")
def safe(safe_folder: Path, keys: dict[str, str]) -> Iterator[Server]:
    """Asks for keys, trusts one foreign origin, logs each request."""
    server = Server(
        safe_folder,
        "gevent",
        STREAMING_API_KEYS_FILE=safe_folder / "keys",
        STREAMING_ALLOWED_ORIGINS=FRIEND,
        GUNICORN_ACCESS_LOG="-",
    )
    with server:
        yield server.start()


@pytest.fixture
def alice(safe: Server, keys: dict[str, str]) -> Api:
    return safe.api.with_key(keys["alice"])


@pytest.fixture
def bob(safe: Server, keys: dict[str, str]) -> Api:
    return safe.api.with_key(keys["bob"])


@pytest.fixture
def root(safe: Server, keys: dict[str, str]) -> Api:
    return safe.api.with_key(keys["root"])


@pytest.fixture
def running(alice: Api) -> Iterator[str]:
    """A job of Alice's that waits for an answer."""
    job = alice.submit("asking")
    alice.reach(job, "waiting_for_input")
    yield job
    alice.cancel(job)
