"""API keys: scopes, owners, hashes in a file, made and revoked by a command."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from streaming.cli import cli
from streaming.config import Settings
from streaming.errors import InvalidSettings
from streaming.web.keys import LOOK_S, KeyRing, make_key, parse_line, write_keys
from streaming.web.principal import Principal
from tests.clocks import Clock
from tests.e2e.clients import Api, Socket
from tests.e2e.server import Server
from tests.e2e.waiting import eventually


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def keys(file: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["keys", "--file", str(file), *arguments])


def ring(**settings: object) -> KeyRing:
    return KeyRing(Settings.load({"STREAMING_LOG_URL": "memory://", **settings}))


def test_a_made_key_is_found_by_its_text_and_kept_as_a_hash(file: Path) -> None:
    made = keys(file, "add", "ada", "--scope", "read", "--scope", "submit").stdout.strip()

    found = ring(STREAMING_API_KEYS_FILE=file).find(made)

    assert found is not None
    assert (found.owner, found.scopes) == ("owner:ada", {"read", "submit"})
    assert made not in file.read_text()
    assert made.rpartition("_")[2] not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0


def test_a_key_may_be_kept_in_the_environment() -> None:
    text, key = make_key("ada", ["read"])

    found = ring(STREAMING_API_KEYS_HASHED=f"{key.line}, {make_key('bob', ['read'])[1].line}")

    assert found.find(text) == key.principal
    assert found.of(key.id) == key.principal


def test_plain_keys_have_all_rights_to_what_is_their_own() -> None:
    found = ring(STREAMING_API_KEYS="one,two")

    first, second = found.find("one"), found.find("two")

    assert first is not None
    assert second is not None
    assert first.scopes == {"submit", "read", "cancel"}
    assert first.owner != second.owner


def test_nobody_has_a_wrong_key() -> None:
    text, key = make_key("ada", ["read"])
    found = ring(STREAMING_API_KEYS_HASHED=key.line, STREAMING_API_KEYS="one")

    for wrong in ("", "on", "one ", text[:-1], text + "x", key.hash, key.line):
        assert found.find(wrong) is None


def test_a_change_of_the_file_counts_after_a_moment(file: Path) -> None:
    (text, key), (other, later), clock = (
        make_key("ada", ["read"]),
        make_key("bob", ["read"]),
        Clock(),
    )
    write_keys(file, [key])
    found = KeyRing(Settings.load({"STREAMING_API_KEYS_FILE": file}), clock=clock)

    write_keys(file, [later])
    clock.advance(LOOK_S)

    assert (found.find(text), found.find(other)) == (None, later.principal)


def test_a_file_that_is_spoilt_changes_nothing(file: Path) -> None:
    (text, key), clock = make_key("ada", ["read"]), Clock()
    write_keys(file, [key])
    found = KeyRing(Settings.load({"STREAMING_API_KEYS_FILE": file}), clock=clock)

    file.write_text("nonsense\n")
    clock.advance(LOOK_S)

    assert found.find(text) == key.principal


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", "line 2: a key is kept as"),
        ("x:ada:read:" + "0" * 64, "line 2: an id has"),
        ("01234567:a b:read:" + "0" * 64, "line 2: owner 'a b'"),
        ("01234567:ada:write:" + "0" * 64, "line 2: scopes 'write'"),
    ],
)
def test_a_bad_line_stops_the_start_and_is_named(file: Path, line: str, said: str) -> None:
    file.write_text(f"# keys\n{line}\n")

    with pytest.raises(InvalidSettings, match=re.escape(said)):
        ring(STREAMING_API_KEYS_FILE=file)


def test_a_missing_file_stops_the_start_and_says_how_to_make_it(file: Path) -> None:
    with pytest.raises(InvalidSettings, match="keys add OWNER"):
        ring(STREAMING_API_KEYS_FILE=file)


def test_the_command_lists_and_revokes(file: Path) -> None:
    keys(file, "add", "ada")
    keys(file, "add", "bob", "--scope", "read")
    listed = keys(file, "list").stdout.splitlines()

    revoked = keys(file, "revoke", listed[0].split()[0])

    assert [line.split()[1:] for line in listed] == [["ada", "submit+read+cancel"], ["bob", "read"]]
    assert revoked.exit_code == 0
    assert keys(file, "list").stdout.splitlines() == listed[1:]
    assert keys(file, "revoke", "00000000").exit_code != 0
    assert "1 to 64" in keys(file, "add", "no owner").output


def test_a_line_and_its_key_are_the_same() -> None:
    _, key = make_key("ada@example.org", ["cancel", "read"])

    assert parse_line(key.line) == key


def test_a_scope_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="write"):
        Principal("ada", frozenset({"write"}))


@pytest.mark.parametrize("name", ["reader", "submitter", "canceller"])
def test_a_key_does_what_its_scopes_say(
    safe: Server, keys: dict[str, str], running: str, name: str
) -> None:
    api, path = safe.api.with_key(keys[name]), f"/v1/jobs/{running}"

    done = {
        "read": [api.get(path), api.get("/v1/jobs"), api.get("/v1/tasks")],
        "submit": [
            api.post("/v1/jobs", json={"task": "plain", "input": {"words": ["a"]}}),
            api.post("/v1/files", files={"file": b"x"}),
            api.post(f"{path}/input", json={"data": {"ok": True}}),
        ],
        "cancel": [api.post(f"{path}/cancel")],
    }

    own = {"reader": "read", "submitter": "submit", "canceller": "cancel"}[name]
    for scope, responses in done.items():
        for response in responses:
            assert (response.status_code == 403) == (scope != own), (scope, response.text)
            if scope != own:
                assert response.json()["code"] == "scope_missing"


def test_commands_of_a_socket_need_their_scopes(
    safe: Server, keys: dict[str, str], running: str
) -> None:
    with Socket(safe.api.with_key(keys["reader"]), "/v1/ws") as connection:
        refused = [
            connection.ask("submit", task="plain"),
            connection.ask("cancel", job=running),
            connection.ask("input", job=running, data=1),
        ]
        assert connection.ask("subscribe", job=running)["type"] == "ack"

    assert {answer["error"]["code"] for answer in refused} == {"scope_missing"}


def test_an_admin_sees_and_cancels_the_jobs_of_all_owners(root: Api, alice: Api) -> None:
    job = alice.submit("asking")

    assert root.get(f"/v1/jobs/{job}").status_code == 200
    assert job in [each["id"] for each in root.get("/v1/jobs").json()["jobs"]]
    assert root.cancel(job).status_code in (200, 202)


def test_keys_of_one_owner_share_their_jobs(
    safe: Server, keys: dict[str, str], running: str
) -> None:
    assert safe.api.with_key(keys["reader"]).get(f"/v1/jobs/{running}").status_code == 200


def test_a_revoked_key_and_its_tickets_end_without_a_restart(
    safe: Server, safe_folder: Path, alice: Api, running: str
) -> None:
    file = safe_folder / "keys"
    made = CliRunner().invoke(cli, ["keys", "--file", str(file), "add", "alice"]).stdout.strip()
    late = safe.api.with_key(made)
    eventually(lambda: late.get("/v1/jobs").status_code == 200, "the key holds")
    ticket = late.post("/v1/tickets", json={"jobs": [running]}).json()["ticket"]
    path, asked = f"/v1/jobs/{running}", {"ticket": ticket}
    assert safe.api.get(path, params=asked).status_code == 200

    CliRunner().invoke(cli, ["keys", "--file", str(file), "revoke", made.split("_")[1]])

    eventually(lambda: late.get("/v1/jobs").status_code == 401, "the key is gone")
    assert safe.api.get(path, params=asked).status_code == 401
    assert alice.get(path).status_code == 200
    assert os.stat(file).st_mode & 0o077 == 0
