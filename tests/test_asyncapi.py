"""The AsyncAPI document: valid by its own schema, and true of what servers send."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from flask import Flask

from app import create_app
from streaming import Settings, Streaming
from streaming.events.types import DATA
from streaming.events.vocabulary import CONTROL, TYPES
from streaming.web.asyncapi import COMMANDS, key

Json = Any
#: The schema of AsyncAPI 3.0.0 documents, of asyncapi/spec-json-schemas (Apache License 2.0).
SCHEMA = Path(__file__).parent / "vendor/asyncapi-3.0.0.json.gz"


def document_of(app: Flask, prefix: str = "") -> Json:
    answer = app.test_client().get(f"{prefix}/asyncapi.json")
    assert answer.status_code == 200
    return answer.json


@pytest.fixture(scope="module")
def document() -> Json:
    return document_of(create_app(Settings(STREAMING_LOG_URL="memory://")))


def validator_of(document: Json, message: str) -> jsonschema.Draft7Validator:
    """Of a message's payload, with the document's shapes."""
    payload = document["components"]["messages"][message]["payload"]
    return jsonschema.Draft7Validator({**payload, "components": document["components"]})


def test_it_is_valid(document: Json) -> None:
    schema = json.loads(gzip.decompress(SCHEMA.read_bytes()))

    errors = jsonschema.Draft7Validator(schema).iter_errors(document)

    assert [f"{error.json_path}: {error.message[:200]}" for error in errors] == []


def test_every_reference_leads_somewhere(document: Json) -> None:
    def references(node: Json) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [each for value in node.values() for each in references(value)]
        if isinstance(node, list):
            return [each for value in node for each in references(value)]
        return []

    for reference in set(references(document)):
        node = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def test_it_has_every_event_and_every_command(document: Json) -> None:
    messages = document["components"]["messages"]

    assert set(DATA) == TYPES | CONTROL
    assert {key(kind) for kind in DATA} <= set(messages)
    for channel in ("jobEvents", "feed", "jobSocket", "socket"):
        assert {key(kind) for kind in DATA} <= set(document["channels"][channel]["messages"])
    assert {key(f"command.{name}") for name in COMMANDS} <= set(messages)
    assert all(message["summary"] for message in messages.values())


def test_addresses_are_where_the_app_has_them() -> None:
    app = Flask("mounted")
    Streaming(app, url_prefix="/ai", settings=Settings(STREAMING_LOG_URL="memory://"))

    document = document_of(app, "/ai/v1")

    addresses = {channel["address"] for channel in document["channels"].values()}
    assert "/ai/v1/jobs/{job}/events" in addresses
    assert all(address.startswith("/ai/") for address in addresses)


def test_an_event_with_a_wrong_member_does_not_pass(document: Json) -> None:
    event = {"seq": 1, "type": "text.delta", "job": "job_1", "at": "2026-01-01T00:00:00.000Z"}
    validator = validator_of(document, "text_delta")

    assert validator.is_valid({**event, "data": {"item": "answer", "text": "a"}})
    assert not validator.is_valid({**event, "data": {"item": "answer", "text": 1}})
    assert not validator.is_valid({**event, "data": {"item": "answer"}})
    assert not validator.is_valid({**event, "type": "job.failed", "data": {}})
