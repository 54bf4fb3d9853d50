"""The official clients for Node, each in a script of its own."""

from __future__ import annotations

import requests

from tests.e2e.server import Server
from tests.protocols.conftest import RunNode

NUMBERS = "".join(f"{number} " for number in range(30))


def test_openai_for_node(server: Server, node: RunNode) -> None:
    found = {each.pop("what"): each for each in node("openai_client.mjs", server.url)}

    assert found["chat raw"] == {"text": NUMBERS, "usage": True}
    assert found["chat helper"]["text"] == NUMBERS
    assert found["responses helper"]["text"] == NUMBERS
    hundred = "".join(f"{number} " for number in range(100))
    assert found["responses resumed"]["text"] == hundred
    assert found["responses resumed by the helper"]["text"] == hundred
    assert found["late failure"]["code"] == "upstream_error"
    assert found["steps"]["text"] == "what it found"


def test_anthropic_for_node(server: Server, node: RunNode) -> None:
    found = {each.pop("what"): each for each in node("anthropic_client.mjs", server.url)}

    assert found["raw"] == found["helper"] == {"text": NUMBERS, "end": "end_turn"}
    assert found["whole"]["text"] == "what it found"
    assert found["late failure"]["failed"]


def count_of(server: Server, task: str) -> int:
    """How many jobs of the task there are: other tests share the server."""
    return len(requests.get(f"{server.url}/v1/jobs?task={task}", timeout=5).json()["jobs"])


def test_the_ai_sdk_with_its_providers(server: Server, node: RunNode) -> None:
    begun = count_of(server, "stalling_then_failing")

    *providers, failure = node("ai_sdk.mjs", server.url, timeout_s=90)

    assert len(providers) == 4
    for each in providers:
        assert each["text"] == NUMBERS, each
        assert each["finish"] == "stop", each
        assert each["results"] == ["sunny in Paris"], each
        assert each["answered"], each
        assert each["usage"], each
    assert failure["failures"] == 1
    assert count_of(server, "stalling_then_failing") == begun + 1
