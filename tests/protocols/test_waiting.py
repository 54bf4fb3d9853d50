"""A model's server that asks to wait for longer than a status line does: its client is told so."""

from __future__ import annotations

from typing import Any

import anthropic
import openai
import pytest
import requests

from tests.e2e.server import Server
from tests.protocols.conftest import ends_as, unique

Json = Any

PROTOCOLS = pytest.mark.parametrize("protocol", ["chat/completions", "responses", "messages"])


def question(protocol: str, model: str, **more: Json) -> Json:
    said = unique("are you there?")
    asked: Json = {"messages": [{"role": "user", "content": said}], "max_tokens": 5}
    return {"model": model, **({"input": said} if protocol == "responses" else asked), **more}


@PROTOCOLS
@pytest.mark.parametrize(("model", "status"), [("swamped", 429), ("closed", 503)])
def test_a_streams_client_is_told_at_once_how_long_the_models_server_wants_to_be_left_alone(
    server: Server, protocol: str, model: str, status: int
) -> None:
    body = question(protocol, model, stream=True)
    answer = requests.post(f"{server.url}/v1/{protocol}", json=body, timeout=30)

    assert (answer.status_code, answer.headers["Retry-After"]) == (status, "5")
    assert "X-Should-Retry" not in answer.headers
    error = answer.json()["error"]
    assert error["code"] == {429: "rate_limited", 503: "model_unavailable"}[status]
    kinds = {
        429: "rate_limit_error",
        503: "overloaded_error" if protocol == "messages" else "server_error",
    }
    assert error["type"] == kinds[status]
    if protocol == "messages":
        assert answer.json()["type"] == "error"
    job = ends_as(server, answer.headers["X-Job-Id"], "failed")
    assert (job["error"]["retry_after_s"], job["error"]["upstream_status"]) == (5, status)


@pytest.mark.parametrize("how", [{"stream": False}, {"stream": True, "background": True}], ids=str)
def test_where_no_status_line_waits_the_model_is_waited_for(server: Server, how: Json) -> None:
    body = question("responses", "pausing", **how)
    answer = requests.post(f"{server.url}/v1/responses", json=body, timeout=30)

    assert answer.status_code == 200
    assert ends_as(server, answer.headers["X-Job-Id"], "completed")["output"]["text"]


def test_the_official_clients_come_back_by_themselves(server: Server) -> None:
    said: Json = [{"role": "user", "content": unique("x")}]
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=1)
    asked = {"model": "pausing", "messages": said, "max_tokens": 3}
    chunks = list(client.chat.completions.create(**asked, stream=True))
    assert chunks[-1].choices[0].finish_reason

    other = anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=1)
    with other.messages.stream(**asked) as stream:
        assert stream.get_final_message().stop_reason
