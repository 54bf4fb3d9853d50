"""What other versions of this program keep in Redis: read, passed on or left, never spoilt."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streaming import JobContext, Task, task
from streaming.events.event import Draft, dumps
from streaming.events.snapshot import Snapshot, public_summary
from streaming.events.summary import blank
from streaming.running.fleet import Fleet, FleetFigures, Worker
from streaming.running.queue import NAMESPACE, QUEUE, WORKERS
from streaming.running.runner import HostFigures
from streaming.storage.redis import RedisStorage
from streaming.storage.redis.leases import RedisLeases
from streaming.storage.rows import Submission
from streaming.storage.snapshots import Snapshots
from tests.house import House
from tests.jobs import completed, delta, events_of, new_job, queued, seqs, started, types
from tests.redis_server import KEYS, RedisServer

#: Made by formats/write.py in the tree of each version.
OLDER = sorted(Path(__file__).parent.glob("formats/*.json"))
#: The jobs in there.
BEGUN, ENDED, WAITING = (f"job_01M8A0000000000000000000{n:02}" for n in range(3))
SNAPSHOT = {*public_summary(blank("", "")), "id", "seq", "steps", "text", "texts", "output"}

MakeRedis = Callable[..., RedisStorage]


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Any]:
    with redis_server.client() as client:
        yield client


@pytest.fixture
def storage(make_redis: MakeRedis) -> Iterator[RedisStorage]:
    storage = make_redis()
    storage.open(timeout=1)
    yield storage
    storage.close()


@pytest.fixture(params=OLDER, ids=lambda path: path.stem)
def older(request: pytest.FixtureRequest, storage: RedisStorage, client: Any) -> RedisStorage:
    """A Redis as an older version has left it."""
    client.flushall()
    for key, kept in json.loads(request.param.read_text()).items():
        value = kept["value"]
        if kept["type"] == "string":
            client.set(key, latin(value))
        elif kept["type"] == "hash":
            client.hset(key, mapping={latin(name): latin(each) for name, each in value.items()})
        elif kept["type"] == "zset":
            client.zadd(key, dict(value))
        elif kept["type"] == "list":
            client.rpush(key, *map(latin, value))
        else:
            for id, entry in value:
                client.xadd(key, {name: latin(each) for name, each in entry.items()}, id=id)
    return storage


def latin(text: str) -> bytes:
    return text.encode("latin-1")


def two_steps(runs: list[str]) -> Task:
    @task("diary", steps=["one", "two"])
    def diary(ctx: JobContext, input: Any) -> dict[str, str]:
        def write(step: str) -> str:
            runs.append(step)
            ctx.text(f"{step} anew")
            return f"{step} anew"

        return {"text": ctx.step("one", write, "one") + ctx.step("two", write, "two")}

    return diary


# What an older version has written.


def test_an_older_versions_jobs_are_listed_and_shown_in_full(older: RedisStorage) -> None:
    snapshots = Snapshots(older.log, older.index)
    listed = older.index.list(owner="owner")

    assert [(row.id, row.status) for row in listed] == [
        (WAITING, "queued"), (ENDED, "completed"), (BEGUN, "running"),
    ]  # fmt: skip
    for row in listed:
        assert snapshots.public(row.id).keys() == SNAPSHOT
        assert public_summary(row.summary).keys() < SNAPSHOT
    shown = snapshots.public(ENDED)
    assert shown["output"] == {"text": "grüß Gott 🚀"}
    assert shown["texts"] == [
        {"item": "one", "text": "grüß Gott 🚀"}, {"item": "two", "text": "half a"},
    ]  # fmt: skip


def test_what_an_older_version_did_not_write_is_filled_in(older: RedisStorage, client: Any) -> None:
    row_key = KEYS.row(WAITING)
    summary = json.loads(client.hget(row_key, "summary") or "")
    for name in ("leases", "degraded", "usage"):
        del summary[name]
    client.hset(row_key, "summary", json.dumps(summary))

    [row, *_] = older.index.list(owner="owner")

    shown = public_summary(row.summary)
    assert (shown["leases"], shown["degraded"], shown["usage"]) == ([], False, None)


def test_an_older_versions_log_is_read_from_its_base(older: RedisStorage) -> None:
    row = older.index.get(BEGUN)
    assert row is not None
    page = older.log.page(BEGUN, 5, 99)

    assert page.base == 5
    assert seqs(page.events) == list(range(6, row.seq + 1))
    base = Snapshot.load(older.log.base(BEGUN) or b"")
    assert (base.seq, base.text) == (5, "grüß Gott 🚀")


def test_an_older_versions_job_goes_on_behind_its_finished_step(older: RedisStorage) -> None:
    runs: list[str] = []
    house = House(two_steps(runs), storage=older)

    house.take_up()

    assert house.end(BEGUN).data["output"] == {"text": "grüß Gott 🚀two anew"}
    assert house.end(WAITING).data["output"] == {"text": "one anewtwo anew"}
    assert sorted(runs) == ["one", "two", "two"]
    assert house.state(BEGUN).text == "grüß Gott 🚀two anew"


def test_an_older_versions_keys_blobs_and_workers_are_known(
    older: RedisStorage, client: Any
) -> None:
    again = Submission("job_another", "owner", "diary", queued("diary"), "key-2", "")
    assert older.index.submit(again)[0].id == WAITING
    with older.blobs.open(f"{BEGUN}/chart.svg") as file:
        assert file.read() == b"<svg/>"
    assert [viewer.position for viewer in older.viewers.of(BEGUN)] in ([], [7])  # it is long silent
    told = json.loads(client.hget(WORKERS, "host:1:abc"))
    client.hset(WORKERS, "host:1:abc", json.dumps({**told, "at": time.time()}))

    view = fleet_of(older).view()

    assert view.has("job_x")
    assert view.waiting == {WAITING: 1}


# What a newer version will write.


def test_a_newer_versions_row_and_events_are_passed_on_and_kept(
    make_redis: MakeRedis, storage: RedisStorage, client: Any
) -> None:
    newer = make_redis()
    newer.open(timeout=1)
    job = new_job(newer)
    data: dict[str, Any] = {"message": "?", "future": {"deep": []}}
    future = Draft("future.event", data, encoded=dumps(data))
    newer.log.append(job, [started(1), future])
    row_key = KEYS.row(job)
    summary = json.loads(client.hget(row_key, "summary") or "")
    client.hset(row_key, mapping={
        "summary": json.dumps({**summary, "future": 1}), "future": "2", "rev": "3",
    })  # fmt: skip

    row = storage.log.append(job, [delta(), completed()])

    events = events_of(storage, job)
    assert types(events)[2] == "future.event"
    assert events[2].data["future"] == {"deep": []}
    assert Snapshots(storage.log, storage.index).public(job)["status"] == "completed"
    assert row.summary.newer == {"future": 1}
    assert client.hget(row_key, "future") == b"2"
    newer.close()


def test_a_newer_versions_records_are_left_where_they_are(storage: RedisStorage) -> None:
    job = new_job(storage)
    storage.log.append(job, [delta()], records={"future:x": b"\x00\xff"})

    storage.log.append(job, [delta()], records={"step:a": b"1"})

    assert storage.log.records(job) == {"future:x": b"\x00\xff", "step:a": b"1"}


def test_a_newer_versions_base_keeps_what_this_one_does_not_know(storage: RedisStorage) -> None:
    job = new_job(storage)
    storage.log.append(job, [delta("a"), delta("b"), delta("c")])
    base = Snapshots(storage.log, storage.index).state_at(job, 2)
    newer = json.loads(base.dump()) | {"future": {"of": ["a"]}}
    storage.log.trim(job, 2, json.dumps(newer).encode())

    further = Snapshots(storage.log, storage.index).state_at(job, 3)
    storage.log.trim(job, 3, further.dump())

    kept = json.loads(storage.log.base(job) or b"")
    assert kept["future"] == {"of": ["a"]}
    assert Snapshot.load(json.dumps(kept).encode()).text == "ab"


def test_a_row_of_a_shape_that_nobody_knows_holds_no_other_job_up(
    storage: RedisStorage, client: Any
) -> None:
    odd, even = new_job(storage), new_job(storage)
    row_key = KEYS.row(odd)
    summary = json.loads(client.hget(row_key, "summary") or "")
    odd_options = {**summary["options"], "ttl_s": ["a", "list"]}
    client.hset(row_key, mapping={
        "summary": json.dumps({**summary, "options": odd_options}), "rev": "other",
    })  # fmt: skip

    with pytest.raises(TypeError):
        storage.log.append(odd, [completed()])

    assert storage.log.append(even, [completed()]).closed
    assert seqs(events_of(storage, odd)) == [1]


def test_newer_viewers_are_counted(storage: RedisStorage, client: Any) -> None:
    job = new_job(storage)
    told = {"at": time.time(), "viewers": [["x.1", "webtransport", "2030-01-01T00:00:00Z", 7, 8]]}
    client.hset(KEYS.viewers(job), "x", json.dumps({**told, "future": 1}))

    [viewer] = storage.viewers.of(job)

    assert (viewer.id, viewer.transport, viewer.position) == ("x.1", "webtransport", 7)


def test_newer_leases_are_kept_whole_beside_ours(make_redis: MakeRedis, client: Any) -> None:
    storage = make_redis(resources={"gpu": 2})
    storage.open(timeout=1)
    leases = storage.leases
    assert isinstance(leases, RedisLeases)
    lease = {"needs": json.dumps({"gpu": 1}), "held": True, "future": "x"}
    stated = {"number": 9, "ends": time.time() + 60, "sizes": {"gpu": 2}, "jobs": {"job_n": lease}}
    key = KEYS.leases
    client.hset(key, "newer", json.dumps({**stated, "future": {"a": 1}}))

    leases.request("job_a", {"gpu": 1})
    leases.request("job_b", {"gpu": 1})

    assert (leases.position("job_a"), leases.position("job_b")) == (0, 1)
    kept = json.loads(client.hget(key, "newer"))
    assert (kept["future"], kept["jobs"]["job_n"]["future"]) == ({"a": 1}, "x")
    storage.close()


def test_what_newer_workers_tell_besides_is_left_alone(storage: RedisStorage, client: Any) -> None:
    fleet = fleet_of(storage)
    fleet.tell(Worker("ours", 1, frozenset({"job_a"}), frozenset(), 0))
    told = json.loads(client.hget(WORKERS, "ours"))
    newer = json.dumps({**told, "jobs": ["job_b"], "future": [1]})
    client.hset(WORKERS, "newer", newer)

    view = fleet.view(age_s=0)

    assert view.has("job_a")
    assert view.has("job_b")
    assert client.hget(WORKERS, "newer") == newer.encode()


def test_what_workers_tell_of_their_hosts_is_added_up(storage: RedisStorage, client: Any) -> None:
    fleet = fleet_of(storage)
    hosts = HostFigures(1, 2, starting=False, replaced=3, given_up=None, rss=0.5)
    starting = HostFigures(0, 1, starting=True, replaced=0, given_up="why", rss=0.0)
    for name, each in {"first": hosts, "second": starting, "older": None}.items():
        fleet.tell(Worker(name, 1, frozenset(), frozenset(), 0, each))
    told = json.loads(client.hget(WORKERS, "older"))
    del told["hosts"]
    client.hset(WORKERS, "older", json.dumps(told))

    added_up = fleet.view(age_s=0).hosts

    assert added_up == HostFigures(1, 3, starting=False, replaced=3, given_up="why", rss=0.5)
    assert FleetFigures(fleet, storage).look()["service_hosts"] == (1, "1")


def fleet_of(storage: RedisStorage) -> Fleet:
    queue = f"{NAMESPACE}:{QUEUE}"
    return Fleet(storage.link, queue=queue, workers=WORKERS, timeout_s=10)
