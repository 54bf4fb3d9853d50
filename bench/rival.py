"""The usual way, to be measured against: Flask, gevent and a queue for each reader."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from queue import Queue
from typing import Any

from flask import Flask, Response, request
from flask_sock import Sock

app = Flask(__name__)
sock = Sock(app)

#: The queues of a topic's readers, and its messages so far.
readers: dict[str, list[Queue[str]]] = defaultdict(list)
messages: dict[str, list[str]] = defaultdict(list)
news = threading.Condition()


@app.get("/readyz")
def ready() -> dict[str, Any]:
    return {"ready": True}


@app.post("/publish/<topic>")
def publish(topic: str) -> tuple[dict[str, Any], int]:
    """Publish `m` messages of `size` bytes at `rate` a second; 0 is as fast as possible."""
    threading.Thread(target=send_all, args=(topic, request.get_json()), daemon=True).start()
    return {}, 202


def send_all(topic: str, order: dict[str, Any]) -> None:
    began = time.monotonic()
    for number in range(order["m"]):
        due = began + number / order["rate"] if order["rate"] else 0
        time.sleep(max(0, due - time.monotonic()))
        message = made(number, order["size"])
        for queue in readers[topic]:
            queue.put(message)
        with news:
            messages[topic].append(message)
            news.notify_all()


def made(number: int, size: int) -> str:
    head = {"seq": number, "t": round(time.time(), 6)}
    return json.dumps({**head, "text": "x" * max(0, size - 50)}, separators=(",", ":"))


def listen(topic: str) -> Iterator[str]:
    queue: Queue[str] = Queue()
    readers[topic].append(queue)
    try:
        while True:
            yield queue.get()
    finally:
        readers[topic].remove(queue)


@app.get("/sse/<topic>")
def sse(topic: str) -> Response:
    def stream() -> Iterator[str]:
        yield ": hello\n\n"
        for number, message in enumerate(listen(topic)):
            yield f"id: {number}\ndata: {message}\n\n"

    return Response(stream(), mimetype="text/event-stream")


@sock.route("/ws/<topic>")  # type: ignore[untyped-decorator]
def ws(connection: Any, topic: str) -> None:
    for message in listen(topic):
        connection.send(message)


@app.get("/poll/<topic>")
def poll(topic: str) -> dict[str, Any]:
    after = int(request.args["after"])
    with news:
        news.wait_for(lambda: len(messages[topic]) > after, timeout=10)
    found = messages[topic][after:]
    return {"events": [json.loads(message) for message in found], "next": after + len(found)}


@app.get("/tokens")
def tokens() -> Response:
    """A job of one's own: `n` tokens at `rate` a second."""
    count, rate = int(request.args["n"]), float(request.args["rate"])
    queue: Queue[str | None] = Queue()

    def produce() -> None:
        began = time.monotonic()
        for number in range(count):
            time.sleep(max(0, began + (number + 1) / rate - time.monotonic()))
            queue.put(made(number, 60))
        queue.put(None)

    def stream() -> Iterator[str]:
        yield ": hello\n\n"
        while (message := queue.get()) is not None:
            yield f"data: {message}\n\n"

    threading.Thread(target=produce, daemon=True).start()
    return Response(stream(), mimetype="text/event-stream")
