"""Whatever comes in, a parser gives a value or says what is wrong with it: none crashes."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import example, given, settings, strategies as st
from itsdangerous import URLSafeSerializer

from app import create_app
from streaming import Settings, server_of
from streaming.errors import BadRequest, InvalidInput, RequestError, Unauthorized
from streaming.events.wire import format_positions, parse_position, parse_positions
from streaming.server.logging import redact
from streaming.tasks.analysis.table import BadCsv, parse
from streaming.web.bodies import parse_json
from streaming.web.keys import make_key, parse_line
from streaming.web.positions import check_types
from streaming.web.principal import Principal
from streaming.web.tickets import PREFIX, Tickets
from tests.clocks import Clock
from tests.e2e.clients import Socket
from tests.e2e.server import Server

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
SECRET = "0123456789abcdef0123456789abcdef"
JOB = "job_01M8ACW9P947YHNA0G8RYCDGS6"


def outcome(call: Callable[[], Any], *kinds: type[Exception]) -> tuple[Any, Any]:
    """What it gives, or the refusal; any other error is a crash."""
    try:
        return call(), None
    except kinds as refused:
        return None, refused


@given(st.text() | st.from_regex(r"[0-9]{1,25}"))
@example("²")
@example("1_000")
@example("+1")
def test_a_position_is_a_number_or_refused(text: str) -> None:
    position, refused = outcome(lambda: parse_position(text, name="after"), BadRequest)

    if refused:
        assert refused.extra["errors"][0]["field"] == "after"
    else:
        assert str(position) == (text.lstrip("0") or "0")


@given(st.text(alphabet="job_:,0123456789 \x00é", max_size=60) | st.text())
def test_a_composite_position_is_read_or_refused(text: str) -> None:
    positions, refused = outcome(lambda: parse_positions(text, name="after"), BadRequest)

    if refused:
        assert refused.code == "bad_position"
    else:
        assert parse_positions(format_positions(positions), name="after") == positions


@given(st.lists(st.text(max_size=20)))
def test_event_types_are_known_or_refused(types: list[str]) -> None:
    found, refused = outcome(lambda: check_types(types), InvalidInput)

    assert refused.extra["errors"] if refused else set(found) <= {kind.strip() for kind in types}


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
@example(b"[" * 100_000)
@example(b'{"a":' * 99 + b"1" + b"}" * 99)
@example(b"1e999")
@example(b'"\\ud800"')
@example(b"\xff\xfe[\x00]\x00")
@example(b"NaN")
@example(b"1" * 5000)
def test_a_body_is_json_or_refused(raw: bytes) -> None:
    value, refused = outcome(lambda: parse_json(raw), RequestError)

    if refused:
        assert refused.status in (400, 422)
    else:
        json.dumps(value, allow_nan=False).encode()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_a_body_in_another_encoding_is_refused(encoding: str) -> None:
    _, refused = outcome(lambda: parse_json('{"a": 1}'.encode(encoding)), RequestError)

    assert (refused.status, refused.code) == (400, "malformed_json")


@given(st.text(alphabet='month,sales;\t"0123456789.-% \n\r\x00é', max_size=200) | st.text())
@example("a,b\n1,2\n2,3")
def test_a_table_is_read_or_refused_with_line_and_column(text: str) -> None:
    table, refused = outcome(lambda: parse(text), BadCsv)

    if refused:
        assert refused.extra["line"] >= 1
    else:
        assert len(table.periods) >= 2


@given(st.text() | st.text(alphabet="tkt_.-ABCabc019", max_size=80).map(lambda text: PREFIX + text))
def test_a_ticket_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Unauthorized):
        Tickets(lambda: SECRET).read(text)


@given(st.data())
def test_a_ticket_that_was_changed_is_refused(data: st.DataObject) -> None:
    tickets = Tickets(lambda: SECRET, clock=Clock())
    text, _ = tickets.issue(Principal("ada"), [JOB], 60)
    place = data.draw(st.integers(len(PREFIX), len(text) - 2))
    changed = text[:place] + data.draw(st.characters(codec="ascii")) + text[place + 1 :]

    if changed != text:
        with pytest.raises(Unauthorized):
            tickets.read(changed)


@given(JSON)
def test_a_ticket_of_another_version_is_refused(said: Any) -> None:
    signed = URLSafeSerializer(
        SECRET,
        salt="streaming.ticket",
        signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
    ).dumps
    tickets = Tickets(lambda: SECRET)

    assert tickets.read(f"{PREFIX}{signed(['ada', '', 0, time.time() + 60, [JOB]])}").owner == "ada"
    with pytest.raises(Unauthorized):
        tickets.read(f"{PREFIX}{signed(said)}")


@given(st.text() | st.text(alphabet="0123456789abcdef:+readsubmit", max_size=90))
def test_a_line_is_a_keys_or_refused(line: str) -> None:
    try:
        key = parse_line(line)
    except ValueError:
        return
    assert parse_line(key.line) == key


@given(st.text(), st.text())
def test_a_key_and_a_ticket_are_left_out_wherever_they_stand(before: str, after: str) -> None:
    key, _ = make_key("ada", ["read"])
    ticket, _ = Tickets(lambda: SECRET).issue(Principal("ada"), [JOB], 60)

    for secret in (key, ticket):
        assert secret not in redact(f"{before} {secret} {after}")


@pytest.fixture(scope="module")
def client() -> Iterator[FlaskClient]:
    app = create_app(Settings.load({"STREAMING_LOG_URL": "memory://"}))
    server_of(app).start(timeout=5)
    yield app.test_client()
    server_of(app).drain()


DISPOSITION = st.sampled_from(
    ["form-data", "form-data; name=file", 'form-data; name=f; filename="a.csv"', "attachment"]
)
PART = st.tuples(DISPOSITION | st.text(max_size=30), st.binary(max_size=50))


@given(st.lists(PART, max_size=4), st.binary(max_size=40), st.sampled_from(["x", "xx", "", "y"]))
@settings(max_examples=200)
def test_an_upload_is_taken_or_refused(
    client: FlaskClient, parts: list[tuple[str, bytes]], end: bytes, boundary: str
) -> None:
    body = io.BytesIO()
    for disposition, content in parts:
        head = f"--x\r\nContent-Disposition: {disposition}\r\n\r\n"
        body.write(head.encode(errors="replace") + content + b"\r\n")
    body.write(b"--x--" + end)

    answer = client.post(
        "/v1/files",
        data=body.getvalue(),
        content_type=f"multipart/form-data; boundary={boundary}",
    )

    assert answer.status_code in (201, 400, 413), answer.text


@pytest.fixture(scope="module")
def sockets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Takes as many messages as there are."""
    folder: Path = tmp_path_factory.mktemp("sockets")
    with Server(folder, "gevent", STREAMING_MESSAGES_PER_S=1_000_000) as server:
        yield server.start()


KINDS = st.sampled_from(["subscribe", "unsubscribe", "submit", "cancel", "input", "ping"])
COMMAND = st.fixed_dictionaries(
    {"ref": JSON},
    optional={
        "type": KINDS | JSON,
        "job": st.just(JOB) | JSON,
        "after": st.integers() | JSON,
        "types": st.lists(st.text(max_size=12)) | JSON,
        "task": st.just("plain") | JSON,
        "input": JSON,
        "idempotency_key": JSON,
        "data": JSON,
    },
)


@given(
    st.lists(COMMAND.map(json.dumps) | st.text(max_size=80) | st.binary(max_size=80), max_size=20)
)
@settings(max_examples=60)
def test_every_message_is_answered_and_the_socket_stays(
    sockets: Server, messages: list[str | bytes]
) -> None:
    with Socket(sockets.api, "/v1/ws") as connection:
        for message in messages:
            if isinstance(message, bytes):
                connection.send_bytes(message)
            else:
                connection.send(message)
        for _ in messages:
            answer = connection.receive()
            while answer["type"] not in ("ack", "error"):  # events of what it has submitted
                answer = connection.receive()
            assert answer["type"] == "ack" or answer["error"]["status"] in (
                400,
                404,
                409,
                413,
                422,
                429,
            )
        assert connection.ask("ping")["type"] == "ack"
    assert "failed" not in sockets.log_text()
