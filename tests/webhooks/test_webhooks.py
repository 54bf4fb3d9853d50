"""Calls are made until they are taken: signed, over restarts and bad receivers, for a day."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from streaming.config import signing_keys
from streaming.errors import Unavailable
from streaming.events.event import dumps
from streaming.jobs.receivers import Receivers
from streaming.jobs.signing import signing_key
from streaming.jobs.webhooks import Webhooks
from streaming.storage.base import Storage
from streaming.storage.memory import MemoryStorage
from streaming.storage.outbox import Call, Outbox
from tests.jobs import answered, asked_for, completed, failed, new_job, started
from tests.storage.conftest import make_sqlite
from tests.threads import eventually
from tests.webhooks.receiver import SECRET, Receiver

#: How a test's Webhooks are made, beside its storage.
Make = Callable[..., Webhooks]


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes webhooks on a storage, started; they end with the test."""
    made: list[Webhooks] = []

    def start(storage: Storage, *hosts: str, **options: Any) -> Webhooks:
        options = {"first_s": 0.05, "look_s": 0.05, "keys": lambda: signing_keys(SECRET), **options}
        receivers = options.pop("receivers", Receivers(hosts or ["127.0.0.1"]))
        webhooks = Webhooks(storage, receivers, options.pop("keys"), **options)
        webhooks.start()
        made.append(webhooks)
        return webhooks

    yield start
    for each in made:
        each.stop()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


def ended(storage: Storage, url: str, **given: Any) -> str:
    """The id of a job that has ended and whose receiver is to be told."""
    job = new_job(storage, webhook={"url": url}, **given)
    storage.log.append(job, [completed({"text": "grüß Gott 🚀"})])
    return job


def left(storage: Storage) -> int:
    assert storage.outbox is not None
    return len(storage.outbox.due(time.time() + 1e6, limit=1000))


def test_the_end_of_a_job_is_told_once_with_a_signature_that_others_accept(
    memory: MemoryStorage, make: Make, receiver: Receiver
) -> None:
    job = ended(memory, receiver.url, metadata={"order": 7})

    make(memory)

    (call,) = eventually(lambda: receiver.taken)
    eventually(lambda: not left(memory))
    assert call.body["type"] == "job.completed"
    assert call.body["data"].items() >= {"id": job, "metadata": {"order": 7}}.items()
    assert call.body["data"]["output"] == {"text": "grüß Gott 🚀"}
    assert call.body["id"] == call.id
    assert call.path == "/hook?of=tests"
    assert call.headers["content-type"] == "application/json"
    assert call.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert (len(receiver.taken), receiver.refused) == (1, [])


def test_a_response_is_told_in_the_words_of_its_protocol(
    memory: MemoryStorage, make: Make, receiver: Receiver
) -> None:
    job = new_job(memory, webhook={"url": receiver.url, "form": "response"})
    memory.log.append(job, [started(), asked_for(), answered(1), failed()])

    make(memory)

    (call,) = eventually(lambda: receiver.taken)
    assert call.body == {
        "id": call.id,
        "object": "event",
        "type": "response.failed",
        "created_at": pytest.approx(time.time(), abs=60),
        "data": {"id": f"resp_{job}"},
    }


def test_openais_client_unwraps_it(memory: MemoryStorage, make: Make) -> None:
    from openai import OpenAI

    with Receiver() as receiver:
        job = new_job(memory, webhook={"url": receiver.url, "form": "response"})
        memory.log.append(job, [completed()])
        make(memory)
        (call,) = eventually(lambda: receiver.taken)

    client = OpenAI(api_key="none", webhook_secret=SECRET)
    event = client.webhooks.unwrap(dumps(call.body), call.headers)
    assert (event.type, event.data.id) == ("response.completed", f"resp_{job}")


@pytest.mark.parametrize(
    "bad",
    [400, 404, 429, 500, 503, {"status": 302, "headers": {"Location": "http://127.0.0.1:9/"}}],
    ids=str,
)
def test_a_call_that_is_not_taken_is_made_again_with_the_same_id_and_a_new_signature(
    memory: MemoryStorage, make: Make, bad: Any
) -> None:
    with Receiver(lambda n: bad if n < 3 else 200) as receiver:
        ended(memory, receiver.url)
        make(memory)
        eventually(lambda: not left(memory))

    assert len(receiver.taken) == 3
    assert len({call.id for call in receiver.taken}) == 1
    assert len({str(call.body) for call in receiver.taken}) == 1
    assert receiver.refused == []


def test_retry_after_is_heeded(memory: MemoryStorage, make: Make) -> None:
    busy = {"status": 503, "headers": {"Retry-After": "1"}}
    with Receiver(lambda n: busy if n == 1 else 200) as receiver:
        ended(memory, receiver.url)
        make(memory)
        eventually(lambda: not left(memory))

    first, second = receiver.taken
    assert second.at - first.at >= 0.9


def test_pauses_grow_and_end_with_the_day(memory: MemoryStorage) -> None:
    clock = [time.time()]
    tried: list[float] = []

    def keys() -> list[bytes]:
        tried.append(clock[0])
        return signing_keys(SECRET)

    with Receiver(lambda n: 500) as receiver:
        ended(memory, receiver.url)
        webhooks = Webhooks(memory, Receivers(["127.0.0.1"]), keys, now=lambda: clock[0])
        while left_at := [at for at, _ in memory.outbox.waiting()]:
            clock[0] = max(clock[0], left_at[0])
            count = len(tried)
            webhooks.look()
            eventually(lambda count=count: len(tried) > count)
            eventually(lambda: (webhooks.look(), not webhooks.under_way)[1])

    pauses = [b - a for a, b in zip(tried, tried[1:], strict=False)]
    assert pauses[0] < 1.1
    assert all(0.5 * 2**n <= pauses[n] <= 2**n for n in range(10))
    assert max(pauses) <= 3600
    assert 20 * 3600 < tried[-1] - tried[0] <= 24 * 3600


def test_a_receiver_that_is_not_there_yet_is_told_when_it_is(
    memory: MemoryStorage, make: Make
) -> None:
    receiver = Receiver()
    ended(memory, receiver.url)
    make(memory)
    (before,) = memory.outbox.waiting()
    eventually(lambda: memory.outbox.waiting()[0][1].tries > before[1].tries)

    with receiver:
        eventually(lambda: not left(memory))

    assert len(receiver.taken) == 1


def test_a_call_is_made_after_a_restart_although_its_job_is_gone(
    tmp_path: Path, make: Make
) -> None:
    receiver = Receiver()
    before = make_sqlite(tmp_path)
    before.open(timeout=1)
    job = ended(before, receiver.url)
    webhooks = make(before)
    eventually(lambda: before.outbox.due(time.time() + 1e6, limit=1)[0].tries)
    before.index.remove(job, tombstone=False)
    webhooks.stop()
    before.close()

    after = make_sqlite(tmp_path)
    after.open(timeout=1)
    with receiver:
        webhooks = make(after)
        eventually(lambda: not left(after))
        webhooks.stop()
    after.close()

    assert [call.body["data"]["id"] for call in receiver.taken] == [job]


def test_gone_ends_it_for_good(memory: MemoryStorage, make: Make) -> None:
    with Receiver(lambda n: 410) as receiver:
        job = new_job(memory, webhook={"url": receiver.url})
        memory.log.append(job, [started(), asked_for()])
        make(memory)
        eventually(lambda: receiver.taken and not left(memory))

        memory.log.append(job, [answered(1), completed()])
        other = ended(memory, receiver.url)
        eventually(lambda: len(receiver.taken) > 1 and not left(memory))

    assert [call.body["type"] for call in receiver.taken] == ["input.requested", "job.completed"]
    assert receiver.taken[1].body["data"]["id"] == other


def test_a_receiver_that_does_not_answer_is_cut_and_holds_nobody_up(
    memory: MemoryStorage, make: Make, receiver: Receiver
) -> None:
    with Receiver() as slow:
        slow.open.clear()
        for _ in range(30):
            ended(memory, slow.url.replace("127.0.0.1", "localhost"))
        make(memory, "localhost", "127.0.0.1", timeout_s=0.3)
        eventually(lambda: len(slow.taken) >= 4)

        ended(memory, receiver.url)
        eventually(lambda: receiver.taken)

        eventually(lambda: len({call.id for call in slow.taken}) > 4)
        assert left(memory) == 30
        slow.open.set()
        eventually(lambda: not left(memory), timeout_s=30)


def test_a_receiver_that_trickles_its_answer_is_cut(memory: MemoryStorage, make: Make) -> None:
    with trickling() as port:
        ended(memory, f"http://127.0.0.1:{port}/")
        webhooks = make(memory, timeout_s=0.3)

        eventually(lambda: memory.outbox.waiting()[0][1].tries)

        webhooks.stop()


@contextlib.contextmanager
def trickling() -> Iterator[int]:
    """A server that says something every now and then, and never comes to an end."""
    server, over = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                threading.Thread(target=drip, args=(connection,), daemon=True).start()

    def drip(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while not over.wait(0.1):
                connection.sendall(b"X-More: yes\r\n")

    threading.Thread(target=serve, daemon=True).start()
    yield server.getsockname()[1]
    over.set()
    server.close()


def test_stop_does_not_wait_for_a_receiver_and_the_call_is_made_again(
    memory: MemoryStorage, make: Make
) -> None:
    with Receiver() as slow:
        slow.open.clear()
        ended(memory, slow.url)
        webhooks = make(memory)
        eventually(lambda: slow.taken)

        began = time.monotonic()
        webhooks.stop()

        assert time.monotonic() - began < 3
        assert left(memory) == 1
        slow.open.set()
        make(memory)
        eventually(lambda: not left(memory))
        assert len({call.id for call in slow.taken}) == 1


class AwayOutbox(Outbox):
    """Takes nothing at first, as on a full disk; what is due can be read."""

    def __init__(self, outbox: Outbox, *, refusals: int) -> None:
        self._outbox = outbox
        self.refusals = refusals

    def due(self, now: float, *, limit: int) -> Sequence[Call]:
        return self._outbox.due(now, limit=limit)

    def put_off(self, call: Call, until: float) -> None:
        self._try()
        self._outbox.put_off(call, until)

    def drop(self, call: Call) -> None:
        self._try()
        self._outbox.drop(call)

    def refuse(self, call: Call) -> None:
        self._try()
        self._outbox.refuse(call)

    def _try(self) -> None:
        if self.refusals:
            self.refusals -= 1
            raise Unavailable("the disk is full", code="storage_away")


def test_a_call_is_not_made_again_while_storage_does_not_take_that_it_was(
    memory: MemoryStorage, make: Make, receiver: Receiver
) -> None:
    ended(memory, receiver.url)
    memory.outbox = AwayOutbox(memory.outbox, refusals=3)

    make(memory)

    eventually(lambda: not left(memory))
    assert len(receiver.taken) == 1


def test_a_name_that_turns_private_is_not_followed(
    memory: MemoryStorage, make: Make, receiver: Receiver
) -> None:
    asked: list[str] = []

    def rebinding(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["93.184.216.34"] if len(asked) == 1 else ["127.0.0.1"]

    receivers = Receivers(["*"], resolve=rebinding)
    url = f"https://hooks.example.com:{receiver.port}/"
    receivers.admit(url)
    ended(memory, url)

    make(memory, receivers=receivers)

    eventually(lambda: memory.outbox.waiting()[0][1].tries)
    assert receiver.taken == []


def test_the_connection_goes_to_the_address_that_was_checked(
    memory: MemoryStorage, make: Make, receiver: Receiver
) -> None:
    asked: list[str] = []

    def once(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    ended(memory, f"http://no.such.host.invalid:{receiver.port}/x")

    make(memory, receivers=Receivers(["no.such.host.invalid"], resolve=once))

    (call,) = eventually(lambda: receiver.taken)
    assert call.headers["host"] == f"no.such.host.invalid:{receiver.port}"
    assert asked == ["no.such.host.invalid"]


def test_every_key_signs_so_that_they_can_be_changed(memory: MemoryStorage, make: Make) -> None:
    other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
    with Receiver(secret=other) as receiver:
        ended(memory, receiver.url)
        make(memory, keys=lambda: signing_keys(f"{SECRET},{other}"))
        eventually(lambda: receiver.taken)


def test_without_a_secret_one_is_made_and_lasts(tmp_path: Path) -> None:
    keys = []
    for _ in range(2):
        storage = make_sqlite(tmp_path)
        storage.open(timeout=1)
        keys.append(signing_key(storage))
        assert keys[-1] != storage.secret()
        storage.close()

    assert keys[0] == keys[1]
    assert len(keys[0]) == 32
