"""A model server with bad habits, over a real socket."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from examples.openai_server import ModelServer
from streaming.llm.openai import OpenAIModel
from streaming.llm.server import Patience

KEY = "sk-very-secret-0001"

#: Makes a model of the server: its names, and how patient it is.
Connect = Callable[..., OpenAIModel]


@pytest.fixture
def model_server() -> Iterator[ModelServer]:
    server = ModelServer(key=KEY, tokens_per_s=0)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.fixture
def connect(model_server: ModelServer) -> Connect:
    def make(*names: str, key: str = KEY, **patience: float) -> OpenAIModel:
        patience = {"retry_s": 0.02, "loading_s": 0.1, **patience}
        return OpenAIModel(model_server.url, names, key=key, patience=Patience(**patience))

    return make
