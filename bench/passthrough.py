"""What people write by hand to pass a model's answer on: to be measured against."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from typing import Any

import gevent
import redis
import requests
from flask import Flask, Response, request

app = Flask(__name__)
MODEL = os.environ.get("MODEL_URL", "") + "/chat/completions"
#: Where there is a Redis for `/durable`.
pool = redis.ConnectionPool.from_url(os.environ.get("LOG_URL", "redis://"), max_connections=20_000)


@app.get("/readyz")
def ready() -> dict[str, Any]:
    return {"ready": True}


@app.post("/plain")
def plain() -> Response:
    """Nothing is kept: whoever hangs up has lost the answer."""
    answer = requests.post(MODEL, json=request.get_json(), stream=True, timeout=60)
    return Response(answer.iter_content(None), content_type="text/event-stream")


@app.post("/durable")
def durable() -> Response:
    """The answer goes into a Redis Stream, and from there to whoever reads it."""
    key = uuid.uuid4().hex
    gevent.spawn(keep, key, request.get_json())
    return Response(follow(key), content_type="text/event-stream")


def keep(key: str, asked: Any) -> None:
    client = redis.Redis(connection_pool=pool)
    with requests.post(MODEL, json=asked, stream=True, timeout=60) as answer:
        for line in answer.iter_lines():
            if line.startswith(b"data: "):
                client.xadd(key, {"data": line[6:]})
    client.xadd(key, {"end": 1})
    client.expire(key, 3600)


def follow(key: str, after: Any = "0") -> Iterator[bytes]:
    client = redis.Redis(connection_pool=pool)
    while True:
        found: Any = client.xread({key: after}, count=100, block=15_000)
        for _, entries in found or ():
            for after, fields in entries:
                if b"end" in fields:
                    return
                yield b"id: %b\ndata: %b\n\n" % (after, fields[b"data"])
