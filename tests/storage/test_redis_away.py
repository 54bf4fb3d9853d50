"""Redis goes away and comes back, as it was or with its newest appends lost."""

from __future__ import annotations

import json
import re
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streaming.errors import Fenced, Unavailable
from streaming.jobs.repair import Mending
from streaming.storage.redis import RedisStorage
from streaming.storage.redis.connection import Server as ConnectionTo
from streaming.storage.redis.link import Link
from streaming.storage.snapshots import Snapshots
from streaming.watching.cursor import Cursor
from tests.jobs import completed, delta, events_of, new_job, seqs, started, submission
from tests.redis_server import KEYS, RedisServer
from tests.threads import TIMEOUT_S, Background, eventually, together


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of the test's own. What it acknowledged is in its file."""
    with RedisServer(tmp_path / "redis", "--appendfsync", "always") as started_server:
        yield started_server


@pytest.fixture
def storage(server: RedisServer) -> Iterator[RedisStorage]:
    opened = RedisStorage(server.url)
    opened.open(timeout=1)
    yield opened
    opened.close()


def test_an_append_waits_until_redis_is_back(server: RedisServer, storage: RedisStorage) -> None:
    job = new_job(storage)
    server.stop()
    append = Background(lambda: storage.log.append(job, [delta("late")]))
    eventually(lambda: storage.fault() is not None)
    assert not append.ends_within(0.3)

    server.start()

    assert append.result().seq == 2
    eventually(lambda: storage.fault() is None)


def test_an_impatient_append_and_a_submission_are_refused_at_once(
    server: RedisServer, storage: RedisStorage
) -> None:
    job = new_job(storage)
    server.stop()
    began = time.monotonic()

    with pytest.raises(Unavailable):
        storage.log.append(job, [delta()], patient=False)
    with pytest.raises(Unavailable):
        storage.index.submit(submission())

    assert time.monotonic() - began < 2


def test_a_fault_is_noticed_and_forgotten_though_nobody_writes(
    server: RedisServer, storage: RedisStorage
) -> None:
    assert storage.fault() is None

    server.stop()
    eventually(lambda: storage.fault() is not None)
    server.start()

    eventually(lambda: storage.fault() is None)


def test_a_patient_append_gives_up_at_last(server: RedisServer) -> None:
    storage = RedisStorage(server.url, patience_s=0.5)
    storage.open(timeout=1)
    job = new_job(storage)
    server.stop()

    with pytest.raises(Unavailable):
        storage.log.append(job, [delta()])
    storage.close()


def test_a_full_redis_has_appends_wait_until_there_is_room(
    server: RedisServer, storage: RedisStorage
) -> None:
    job = new_job(storage)
    with server.client() as client:
        client.config_set("maxmemory", "1mb")
        append = Background(lambda: storage.log.append(job, [delta("late")]))
        eventually(lambda: storage.fault() is not None)
        with pytest.raises(Unavailable):
            storage.index.submit(submission())

        client.config_set("maxmemory", "0")

    assert append.result().seq == 2
    eventually(lambda: storage.fault() is None)


def test_readers_miss_nothing_while_redis_restarts(
    server: RedisServer, storage: RedisStorage
) -> None:
    other = RedisStorage(server.url)
    other.open(timeout=1)
    job = new_job(storage)

    def read() -> list[int]:
        found: list[int] = []
        page = None
        while page is None or not (page.closed and len(found) == page.last):
            try:
                page = other.log.read(job, len(found), limit=7, timeout=3 * TIMEOUT_S)
            except Unavailable:
                continue
            found += seqs(page.events)
        return found

    def write() -> None:
        for _ in range(400):
            storage.log.append(job, [delta()])
        storage.log.append(job, [completed()])

    readers, writer = [Background(read) for _ in range(3)], Background(write)
    for _ in range(2):
        server.kill()
        server.start()
    writer.result(4 * TIMEOUT_S)

    assert all(reader.result(4 * TIMEOUT_S) == list(range(1, 403)) for reader in readers)
    assert seqs(events_of(storage, job)) == list(range(1, 403))
    other.close()


def test_a_frozen_redis_makes_no_doubles(server: RedisServer, storage: RedisStorage) -> None:
    job = new_job(storage)
    server.freeze()
    append = Background(lambda: storage.log.append(job, [delta("late")]))
    eventually(lambda: storage.fault() is not None, timeout_s=20)
    server.thaw()

    append.result(20)

    assert [event.data.get("text") for event in events_of(storage, job)] == [None, "late"]


class Forgetful:
    """A Redis that comes back without what it took after `mark`: a replica that lagged."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        [self._file] = server.folder.glob("appendonlydir/*.incr.aof")
        self._size = 0

    def mark(self) -> None:
        self._size = self._file.stat().st_size

    def forget(self) -> None:
        self._server.kill()
        with self._file.open("r+b") as file:
            file.truncate(self._size)
        self._server.start()


def test_an_attempt_whose_events_were_lost_does_not_go_on(
    server: RedisServer, storage: RedisStorage
) -> None:
    job, forgetful = new_job(storage), Forgetful(server)
    storage.log.append(job, [started(1)], attempt=1)
    forgetful.mark()
    storage.log.append(job, [delta("lost")], attempt=1)
    forgetful.forget()

    with pytest.raises(Fenced):
        storage.log.append(job, [delta("after it")], attempt=1)

    assert storage.log.append(job, [started(2)], attempt=2).seq == 3
    assert storage.mender.torn() == {job: 3}


@pytest.mark.parametrize("grown", [0, 1, 5], ids=["shorter", "as long", "longer"])
def test_readers_of_a_log_that_has_lost_events_are_given_a_gap_and_the_state(
    server: RedisServer, storage: RedisStorage, grown: int
) -> None:
    job, forgetful = new_job(storage), Forgetful(server)
    storage.log.append(job, [started(1), delta("kept ")], attempt=1)
    forgetful.mark()
    storage.log.append(job, [delta("lost")], attempt=1)
    snapshots = Snapshots(storage.log, storage.index)
    readers = {after: cursor(storage, snapshots, job, after) for after in (3, 4)}
    readers[4].read(0)

    forgetful.forget()
    other = RedisStorage(server.url)  # one that knows nothing of what was lost
    other.open(timeout=1)
    if grown:
        other.log.append(job, [started(2), *[delta("again ")] * (grown - 1)], attempt=2)
    other.close()
    eventually(lambda: job in storage.mender.torn())
    Mending(storage, snapshots).mend()

    row = storage.index.get(job)
    assert row is not None
    assert row.base == row.seq > max(4, 3 + grown)
    for after, reader in readers.items():
        given = reader.read(TIMEOUT_S)
        assert [each.type for each in given] == ["stream.gap", "stream.snapshot"], after
        assert given[0].data == {"from": after + 1, "to": row.base}
        text = "kept " + "again " * max(0, grown - 1)
        assert given[1].data is not None
        assert given[1].data["job"]["text"] == text
    assert storage.log.append(job, [delta()]).seq == row.base + 1
    assert storage.mender.torn() == {}


def test_a_log_that_has_ended_again_before_it_is_mended_keeps_its_end(
    server: RedisServer, storage: RedisStorage
) -> None:
    job, forgetful = new_job(storage), Forgetful(server)
    forgetful.mark()
    storage.log.append(job, [started(1), delta("lost")], attempt=1)
    snapshots = Snapshots(storage.log, storage.index)
    reader = cursor(storage, snapshots, job, 3)
    reader.read(0)
    forgetful.forget()
    storage.log.append(job, [started(2), delta("again"), completed("done")])
    eventually(lambda: job in storage.mender.torn())

    Mending(storage, snapshots).mend()

    given = reader.read(TIMEOUT_S) + reader.read(TIMEOUT_S)
    assert [each.type for each in given] == ["stream.gap", "stream.snapshot", "job.completed"]
    assert given[1].data is not None
    assert given[1].data["job"]["text"] == "again"
    assert reader.ended
    storage.memberships.repair()
    row = storage.index.get(job)
    assert row is not None
    assert (row.closed, row.size) == (True, storage.size())
    assert snapshots.public(job)["output"] == "done"
    assert storage.mender.torn() == {}


def test_a_log_whose_end_was_lost_goes_on(server: RedisServer, storage: RedisStorage) -> None:
    job, forgetful = new_job(storage), Forgetful(server)
    storage.log.append(job, [started(1)], attempt=1)
    forgetful.mark()
    storage.log.append(job, [completed()], attempt=1)
    assert storage.log.page(job, 2, 9).closed

    forgetful.forget()
    eventually(lambda: job in storage.mender.torn())
    Mending(storage, Snapshots(storage.log, storage.index)).mend()

    assert not storage.log.page(job, 9, 9).closed
    assert storage.log.append(job, [started(2)], attempt=2).seq > 4


def test_a_closed_log_that_goes_on_after_all_is_loaded_anew(
    server: RedisServer, storage: RedisStorage
) -> None:
    job = new_job(storage)
    running = storage.log.append(job, [started(1)], attempt=1).summary
    storage.log.append(job, [completed()], attempt=1)
    assert storage.log.page(job, 2, 9).closed
    with server.client() as client:  # as another process has mended it, before we looked
        key = KEYS.row(job)
        values = {"summary": json.dumps(running.to_json()), "base": 9, "seq": 9, "rev": "new"}
        client.hset(key, mapping=values)

    storage.follower.connected()

    reader = Background(lambda: storage.log.read(job, 9, timeout=3 * TIMEOUT_S))
    other = RedisStorage(server.url)
    other.open(timeout=1)
    other.log.append(job, [started(2)], attempt=2)
    other.close()
    assert seqs(reader.result().events) == [10]


def test_a_frozen_server_is_told_in_time_and_nobody_waits_behind_others(
    server: RedisServer, storage: RedisStorage
) -> None:
    assert storage.fault_now(0.5) is None

    server.freeze()
    first = Background(lambda: storage.fault_now(0.5))
    assert first.result() == "Redis has not answered within 0.5 s"
    began = time.monotonic()
    for _ in range(100):
        assert storage.fault_now(0.5) is not None
    took_s = time.monotonic() - began
    server.thaw()

    assert took_s < 1
    eventually(lambda: storage.fault_now(0.5) is None)


def test_a_frozen_redis_is_away_within_the_silence_that_is_allowed(server: RedisServer) -> None:
    storage = RedisStorage(server.url, silence_s=0.5)
    storage.open(timeout=1)
    job = new_job(storage)
    server.freeze()
    began = time.monotonic()
    calls: list[Callable[[], object]] = [
        lambda: storage.index.get(job),
        lambda: storage.index.submit(submission()),
        lambda: storage.log.append(job, [delta()], patient=False),
    ]

    told = together(calls * 3)
    took_s = time.monotonic() - began
    patient = Background(lambda: storage.log.append(job, [delta("patient")]))
    assert not patient.ends_within(0.8)
    server.thaw()

    assert all(isinstance(each, Unavailable) for each in told), told
    assert took_s < 2
    assert patient.result().seq > 1
    storage.close()


def test_a_redis_that_takes_long_and_answers_bit_by_bit_is_there() -> None:
    class Slow(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while said := self.request.recv(1 << 20):
                for _ in range(said.count(b"\r\nPING\r\n")):
                    time.sleep(0.1)
                    self.request.sendall(b"+PONG\r\n")
                others = len(re.findall(rb"(?:^|\n)\*\d+\r", said)) - said.count(b"PING")
                self.request.sendall(b"+OK\r\n" * others)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Slow) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        port = server.server_address[1]
        link = Link(ConnectionTo(f"redis://127.0.0.1:{port}/0"), name="link", silence_s=1)
        link.start()
        try:
            assert link.call(*[("PING",)] * 20) == [True] * 20
        finally:
            link.stop()
            server.shutdown()


def cursor(storage: RedisStorage, snapshots: Snapshots, job: str, after: int) -> Cursor:
    return Cursor(storage.log, {job: after}, snapshot=snapshots.public, base=snapshots.public_base)
