"""Clients that read over any transport, cut off at any byte: what is sent, what is made of it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

from streaming.events import wire
from streaming.watching.cursor import Cursor, Delivery
from tests.reader import JobReader, parse_ndjson
from tests.sse_parser import parse_sse


class Client:
    """A reader of some jobs, with one connection at a time."""

    def __init__(self, jobs: list[str]) -> None:
        self.jobs = {job: JobReader() for job in jobs}
        self.cursor: Cursor | None = None
        self.send: Callable[[Client, list[Delivery]], bytes] = sse
        self.receive: Callable[[Client, bytes], None] = receive_sse

    @property
    def positions(self) -> dict[str, int]:
        return {job: reader.position for job, reader in self.jobs.items()}

    def disconnect(self) -> None:
        self.cursor = None
        for reader in self.jobs.values():
            reader.disconnect()

    def take(self, envelopes: list[dict[str, Any]]) -> None:
        for envelope in envelopes:
            self.jobs[envelope["job"]].take(envelope)


def sse(client: Client, deliveries: list[Delivery]) -> bytes:
    positions = dict(client.positions)
    body = b""
    for delivery in deliveries:
        position = None
        if delivery.event is not None or delivery.type == "stream.snapshot":
            positions[delivery.job] = delivery.position
            position = wire.format_positions(positions)
        body += wire.sse_frame(delivery.json, position=position)
    return body + wire.SSE_HEARTBEAT


def receive_sse(client: Client, body: bytes) -> None:
    for event in parse_sse(body):
        if event.data:
            client.take([json.loads(event.data)])
        if event.id and not any(reader.gap for reader in client.jobs.values()):
            assert wire.parse_positions(event.id, name="id") == client.positions


def ndjson(_: Client, deliveries: list[Delivery]) -> bytes:
    return b"".join(delivery.json + b"\n" for delivery in deliveries) + wire.NDJSON_HEARTBEAT


def receive_ndjson(client: Client, body: bytes) -> None:
    client.take(parse_ndjson(body))


def poll(client: Client, deliveries: list[Delivery]) -> bytes:
    assert client.cursor is not None
    events = b",".join(delivery.json for delivery in deliveries)
    return b'{"events":[%b],"next":%b}' % (events, json.dumps(client.cursor.positions).encode())


def receive_poll(client: Client, body: bytes) -> None:
    with contextlib.suppress(ValueError):  # cut off: a page counts whole or not at all
        page = json.loads(body)
        client.take(page["events"])
        assert page["next"] == client.positions


#: Each: what is sent, and what a client makes of the bytes that reach it.
TRANSPORTS = ((sse, receive_sse), (ndjson, receive_ndjson), (poll, receive_poll))
