"""A cancel of any protocol reaches the model's server."""

from __future__ import annotations

import time
from datetime import datetime

import pytest
import requests

from examples.openai_server import ModelServer
from tests.e2e.server import Server
from tests.e2e.waiting import eventually
from tests.protocols.conftest import ends_as, unique
from tests.protocols.ways import Chat, Messages, Responses, Ui, Way, frames_of

#: By protocol, where its answer is stopped; Messages has no cancel but the hang-up.
STOPS = {
    "chat": (Chat, "/v1/chat/completions/chatcmpl-{job}/cancel"),
    "responses": (Responses, "/v1/responses/resp_{job}/cancel"),
    "messages": (Messages, "/v1/jobs/{job}/cancel"),
    "ui": (Ui, "/v1/ui/chat/{chat}/stop"),
}


@pytest.mark.parametrize("name", STOPS)
def test_a_cancel_closes_the_models_connection_within_half_a_second(
    server: Server, model_server: ModelServer, name: str
) -> None:
    kind, path = STOPS[name]
    way: Way = kind()
    question = unique("a cancel")
    with way.begin(server, question, "stalling") as response:
        frames = frames_of(response)
        next(frames)
        [answer] = [a for a in model_server.answers if question in str(a.asked["messages"])]
        stop = path.format(job=way.job, chat=getattr(way, "chat", ""))
        requests.post(f"{server.url}{stop}", timeout=5).raise_for_status()
        eventually(lambda: answer.state == "aborted", "the model has stopped")
        stopped = time.time()
        rest = list(frames)

    assert way.end(rest) == "cancelled"
    ends_as(server, way.job, "cancelled")
    log = requests.get(f"{server.url}/v1/jobs/{way.job}/poll?wait=0", timeout=5).json()["events"]
    [asked] = [e["at"] for e in log if e["type"] == "job.cancel_requested"]
    assert stopped - datetime.fromisoformat(asked).timestamp() <= 0.5


def test_hanging_up_on_messages_closes_the_models_connection(
    server: Server, model_server: ModelServer
) -> None:
    question = unique("a hang-up")
    with Messages().begin(server, question, "stalling") as response:
        next(frames_of(response))

    [answer] = [a for a in model_server.answers if question in str(a.asked["messages"])]
    eventually(lambda: answer.state == "aborted", "the model has stopped")
