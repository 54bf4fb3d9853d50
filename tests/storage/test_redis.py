"""Several processes on one Redis: each storage here is another process's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streaming.errors import Fenced, InvalidSettings, NotFound, TooLarge
from streaming.storage.redis import RedisStorage
from streaming.storage.redis.connection import check_info
from streaming.storage.redis.viewers import RedisViewers
from streaming.storage.rows import JobRow, Submission
from streaming.storage.viewers import SENT_AWAY_S
from tests.cutting import CuttingProxy
from tests.jobs import (
    completed,
    delta,
    ended_job,
    events_of,
    new_job,
    queued,
    seqs,
    started,
    submission,
    types,
)
from tests.redis_server import KEYS, RedisServer
from tests.threads import TIMEOUT_S, Background, eventually, together

MakeRedis = Callable[..., RedisStorage]


@pytest.fixture
def two(make_redis: MakeRedis) -> Iterator[tuple[RedisStorage, RedisStorage]]:
    """Two processes."""
    storages = make_redis(), make_redis()
    for each in storages:
        each.open(timeout=1)
    yield storages
    for each in storages:
        each.close()


Two = tuple[RedisStorage, RedisStorage]


def test_an_append_of_one_process_wakes_a_reader_of_another(two: Two) -> None:
    here, there = two
    job = new_job(here)
    reader = Background(lambda: there.log.read(job, 1, timeout=3 * TIMEOUT_S))

    here.log.append(job, [delta("news")])

    assert [event.data["text"] for event in reader.result().events] == ["news"]


def test_what_one_process_has_appended_another_has_at_once(two: Two) -> None:
    here, there = two
    job = new_job(here)

    for number in range(100):
        row = here.log.append(job, [delta(str(number))])
        page = there.log.page(job, row.seq - 1, 9)
        # Not told yet, it is where the position was: never behind it, as if it were ahead.
        assert page.last >= row.seq - 1
        eventually(lambda row=row: there.log.page(job, 0, 1).last == row.seq)


def test_a_position_that_another_process_gave_is_not_ahead(two: Two) -> None:
    here, there = two
    job = new_job(here)
    there.log.page(job, 0, 9)

    for _ in range(100):
        row = here.log.append(job, [delta()])
        assert there.log.page(job, row.seq, 9).last == row.seq


def test_processes_that_append_at_once_make_one_log(two: Two) -> None:
    job = new_job(two[0])

    def write(storage: RedisStorage, name: int) -> list[int]:
        return [storage.log.append(job, [delta(f"{name}.{n}")]).seq for n in range(50)]

    given = together([lambda n=n: write(two[n % 2], n) for n in range(6)])

    for storage in two:
        events = events_of(storage, job)
        assert seqs(events) == list(range(1, 302))
        texts = {event.seq: event.data.get("text") for event in events}
        for name, found in enumerate(given):
            assert [texts[seq] for seq in found] == [f"{name}.{n}" for n in range(50)]


def test_readers_of_two_processes_get_all_that_both_append(two: Two) -> None:
    job = new_job(two[0])

    def read(storage: RedisStorage) -> list[int]:
        found: list[int] = []
        page = None
        while page is None or not (page.closed and len(found) == page.last):
            page = storage.log.read(job, len(found), limit=7, timeout=3 * TIMEOUT_S)
            found += seqs(page.events)
        return found

    readers = [Background(lambda n=n: read(two[n % 2])) for n in range(6)]
    together(
        [lambda n=n: [two[n].log.append(job, [delta()]) for _ in range(100)] for n in range(2)]
    )
    two[1].log.append(job, [completed()])

    assert all(reader.result() == list(range(1, 203)) for reader in readers)


def test_an_older_attempt_is_refused_wherever_it_runs(two: Two) -> None:
    here, there = two
    job = new_job(here)
    here.log.append(job, [started(1)], attempt=1)

    there.log.append(job, [started(2)], attempt=2, expect={"attempt": [1]})

    with pytest.raises(Fenced):
        here.log.append(job, [delta("a zombie's")], attempt=1)
    assert types(events_of(there, job)) == ["job.queued", "job.started", "job.started"]


def test_one_claim_of_two_processes_wins(two: Two) -> None:
    for _ in range(20):
        job = new_job(two[0])
        claims = [
            lambda s=s, job=job: s.log.append(job, [started(1)], attempt=1, expect={"attempt": [0]})
            for s in two
        ]
        results = together(claims)
        assert sum(isinstance(each, JobRow) for each in results) == 1


def test_a_refusal_is_of_the_row_as_it_is_not_as_it_was(two: Two) -> None:
    here, there = two
    job = new_job(here)
    here.log.append(job, [started(1)])
    there.log.append(job, [completed()])

    row = there.index.get(job)

    assert row is not None
    assert row.closed
    with pytest.raises(Exception, match="has ended"):
        here.log.append(job, [delta()])


@pytest.mark.parametrize("tombstone", [True, False], ids=["expired", "deleted"])
def test_a_job_that_another_process_removes_is_gone_for_waiting_readers(
    two: Two, tombstone: bool
) -> None:
    here, there = two
    job = new_job(here)
    reader = Background(lambda: there.log.read(job, 1, timeout=3 * TIMEOUT_S))
    eventually(lambda: there.follower.tails.find(job) is not None)

    here.index.remove(job, tombstone=tombstone)

    with pytest.raises(NotFound):
        reader.result()


def test_a_reader_notices_what_another_process_has_trimmed(two: Two) -> None:
    here, there = two
    job = new_job(here)
    here.log.append(job, [delta("x" * 3000) for _ in range(400)])
    there.log.page(job, 0, 1)

    here.log.trim(job, 100, b"{}")

    page = there.log.page(job, 0, 3)
    assert (seqs(page.events), page.base, page.last) == ([101, 102, 103], 100, 401)


def test_a_key_makes_one_job_over_all_processes(two: Two) -> None:
    for number in range(10):
        calls = [
            lambda s=s, n=number: s.index.submit(submission(key=f"k{n}", digest="d"))
            for s in two * 3
        ]
        results = together(calls)
        assert len({row.id for row, _ in results}) == 1
        assert [new for _, new in results].count(True) == 1


def test_a_key_whose_job_was_never_stored_is_taken_up(two: Two) -> None:
    here, there = two
    lost = Submission("job_LOST", "ann", "write", queued(), "k", "d")
    here.index.claim(lost, claim=True)  # and died

    row, new = there.index.submit(submission(owner="ann", key="k", digest="d"))

    assert new
    assert there.index.get(row.id) == row


def test_viewers_of_all_processes_are_seen(two: Two) -> None:
    here, there = two
    viewer = here.viewers.enter("job_a", "sse", lambda: 3)

    eventually(lambda: [v.position for v in there.viewers.of("job_a")] == [3])
    assert there.viewers.absent_s("job_a") == 0

    here.viewers.leave("job_a", viewer)
    eventually(lambda: there.viewers.of("job_a") == [])
    assert there.viewers.absent_s("job_a") < TIMEOUT_S


def test_viewers_of_a_process_that_is_gone_are_not_counted(two: Two) -> None:
    here, there = two
    here.viewers.enter("job_a", "sse", lambda: 3)
    eventually(lambda: len(there.viewers.of("job_a")) == 1)
    here.viewers.loop.stop()  # as if killed: it says nothing any more

    patient, hasty = (
        RedisViewers(there.link, KEYS, process="third", silent_s=0.5, sent_away_s=sent_away_s)
        for sent_away_s in (SENT_AWAY_S, 0.0)
    )

    eventually(lambda: patient.of("job_a") == [])
    assert patient.absent_s("job_a") == 0  # they have not hung up: they may come back
    eventually(lambda: 0 < hasty.absent_s("job_a") < TIMEOUT_S)


def test_a_file_over_the_limit_is_refused_and_leaves_nothing(
    make_redis: MakeRedis, redis_server: RedisServer
) -> None:
    storage = make_redis(blob_bytes=1 << 20)
    storage.open(timeout=1)
    storage.blobs.put("job_a/fits", [b"x" * (1 << 20)])

    with pytest.raises(TooLarge, match="STREAMING_BLOB_DIR"):
        storage.blobs.put("job_a/large", [b"x" * 1000] * 2000)

    with pytest.raises(NotFound):
        storage.blobs.open("job_a/large")
    with redis_server.client() as client:
        parts = list(client.scan_iter("streaming:blobs:*:*:*"))
        lasting = [key for key in parts if client.ttl(key) == -1]
    assert len(lasting) == 4
    storage.close()


def test_machines_may_share_a_folder_for_their_files(make_redis: MakeRedis, tmp_path: Path) -> None:
    here, there = make_redis(blobs=tmp_path), make_redis(blobs=tmp_path)
    for each in (here, there):
        each.open(timeout=1)

    here.blobs.put("job_a/file", [b"from here"])

    with there.blobs.open("job_a/file") as file:
        assert file.read() == b"from here"
    for each in (here, there):
        each.close()


def test_an_append_whose_answer_was_lost_is_there_once(
    make_redis: MakeRedis, redis_server: RedisServer
) -> None:
    with CuttingProxy(redis_server.port) as proxy:
        storage = RedisStorage(f"redis://127.0.0.1:{proxy.port}/0")
        make_redis()
        storage.open(timeout=1)
        job = new_job(storage)
        for number in range(5):
            proxy.swallow_answer_to(b"the needle")
            row = storage.log.append(job, [delta(f"the needle {number}")])
            assert row.seq == number + 2
        found = [event.data.get("text") for event in events_of(storage, job)]
        storage.close()

    assert proxy.swallowed == 5
    assert found == [None, *[f"the needle {n}" for n in range(5)]]


def test_an_append_whose_answer_was_lost_is_there_once_though_another_followed(
    make_redis: MakeRedis, redis_server: RedisServer
) -> None:
    other = make_redis()
    other.open(timeout=1)
    with CuttingProxy(redis_server.port) as proxy:
        storage = RedisStorage(f"redis://127.0.0.1:{proxy.port}/0")
        storage.open(timeout=1)
        job = new_job(storage)
        proxy.swallow_answer_to(
            b"the needle", meanwhile=lambda: other.log.append(job, [delta("another's")])
        )
        storage.log.append(job, [delta("the needle")])
        storage.log.append(job, [delta("the next")])
        found = [event.data.get("text") for event in events_of(storage, job)]
        storage.close()
    other.close()

    assert found == [None, "the needle", "another's", "the next"]


def test_a_submission_whose_answer_was_lost_is_new_and_there_once(
    make_redis: MakeRedis, redis_server: RedisServer
) -> None:
    with CuttingProxy(redis_server.port) as proxy:
        storage = RedisStorage(f"redis://127.0.0.1:{proxy.port}/0")
        make_redis()
        storage.open(timeout=1)
        proxy.swallow_answer_to(b"the needle")
        row, new = storage.index.submit(submission(metadata={"a": "the needle"}))
        assert (new, seqs(events_of(storage, row.id))) == (True, [1])
        assert storage.size() == row.size
        storage.close()


def test_indexes_are_repaired_from_the_rows(two: Two, redis_server: RedisServer) -> None:
    here, _ = two
    ended, open_job = ended_job(here), new_job(here)
    names = KEYS.jobs
    with redis_server.client() as client:
        client.zadd(names("unfinished"), {ended: 0, "job_GONE": 0})
        client.zrem(names("unfinished"), open_job)
        client.zrem(names("expiry"), ended)
        client.set(KEYS.size, 12345)

    here.memberships.repair()

    unfinished = ("queued", "running")
    assert [row.id for row in here.index.list(statuses=unfinished)] == [open_job]
    assert list(here.index.due(time.time() + 1e6)) == [ended]
    assert here.size() == sum(row.size for row in here.index.list())
    with redis_server.client() as client:
        assert client.zrange(names("unfinished"), 0, -1) == [open_job.encode()]


def test_a_redis_that_is_too_old_or_evicts_logs_is_refused_with_what_to_set() -> None:
    check_info({"redis_version": "7.0.15", "maxmemory_policy": "noeviction"}, "here")
    check_info({"redis_version": "7.2.4", "maxmemory_policy": "volatile-lru"}, "here")

    with pytest.raises(InvalidSettings, match=r"version 6\.2\.5; 7\.0 or newer is needed"):
        check_info({"redis_version": "6.2.5"}, "here")
    with pytest.raises(InvalidSettings, match="Set maxmemory-policy to noeviction"):
        check_info({"redis_version": "7.0.1", "maxmemory_policy": "allkeys-lru"}, "here")


def test_a_server_that_evicts_logs_is_found_out_at_the_start(
    redis_server: RedisServer, make_redis: MakeRedis
) -> None:
    with redis_server.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            with pytest.raises(InvalidSettings, match="noeviction"):
                make_redis().open(timeout=1)
        finally:
            client.config_set("maxmemory-policy", "noeviction")


def test_a_node_of_a_cluster_is_refused(tmp_path: Path) -> None:
    cluster_mode = ("--cluster-enabled", "yes")
    with (
        RedisServer(tmp_path / "node", *cluster_mode) as node,
        pytest.raises(InvalidSettings, match="without cluster mode"),
    ):
        RedisStorage(node.url).open(timeout=1)


def test_logs_of_a_newer_format_are_left_alone(
    redis_server: RedisServer, make_redis: MakeRedis
) -> None:
    storage = make_redis()
    with redis_server.client() as client:
        client.set(KEYS.format, 99)

    with pytest.raises(InvalidSettings, match="format 99"):
        storage.open(timeout=1)


def test_a_self_signed_certificate_is_refused_with_what_to_set(encrypted: str) -> None:
    with pytest.raises(InvalidSettings, match="STREAMING_REDIS_VERIFY=0"):
        RedisStorage(encrypted).open(timeout=1)


def test_a_self_signed_certificate_is_taken_when_that_is_said(encrypted: str) -> None:
    storage = RedisStorage(encrypted, verify=False)
    storage.open(timeout=1)
    job = new_job(storage)
    reader = Background(lambda: storage.log.read(job, 1, timeout=3 * TIMEOUT_S))

    storage.log.append(job, [delta("news")])

    assert seqs(reader.result().events) == [2]
    storage.close()


def test_a_redis_that_is_not_there_is_named_at_the_start(make_redis: MakeRedis) -> None:
    storage = RedisStorage("redis://:secret@127.0.0.1:1/0")

    with pytest.raises(InvalidSettings, match="127.0.0.1:1/0 is not there") as refused:
        storage.open(timeout=0)

    assert "secret" not in str(refused.value)


def test_a_log_that_nobody_reads_is_followed_no_longer_and_may_be_read_again(
    make_redis: MakeRedis,
) -> None:
    here, there = make_redis(), make_redis(idle_s=0.1)
    for each in (here, there):
        each.open(timeout=1)
    job = new_job(here)
    follower = there.follower
    held = [there.log.live(job)]
    here.log.append(job, [delta("first")])
    eventually(lambda: held[0].row.seq == 2)  # held, it is followed on

    held.clear()
    eventually(lambda: not follower.follows(job))
    here.log.append(job, [delta("unheard")])

    assert seqs(there.log.page(job, 1, 9).events) == [2, 3]
    reader = Background(lambda: there.log.read(job, 3, timeout=3 * TIMEOUT_S))
    here.log.append(job, [delta("news")])
    assert [event.data["text"] for event in reader.result().events] == ["news"]
    for each in (here, there):
        each.close()


def test_a_log_that_moves_while_it_is_compared_is_not_taken_for_torn(
    make_redis: MakeRedis, redis_server: RedisServer
) -> None:
    here = make_redis()
    with CuttingProxy(redis_server.port) as proxy:
        there = RedisStorage(f"redis://127.0.0.1:{proxy.port}/0")
        for each in (here, there):
            each.open(timeout=1)
        job = new_job(here)
        there.log.page(job, 0, 9)
        behind, tail = there.rows.get(job), there.follower.tails.get(job)

        def append() -> None:
            row = here.log.append(job, [delta()])
            eventually(lambda: tail.row.seq == row.seq)

        append()
        proxy.hold_answer_to(KEYS.row(job).encode(), meanwhile=append)
        there.follower.bring(tail, behind)

        assert tail.row.seq == 3
        assert there.mender.torn() == {}
        for each in (here, there):
            each.close()


def test_a_log_that_ends_while_it_is_compared_is_not_taken_for_torn(two: Two) -> None:
    here, there = two
    job = new_job(here)
    there.log.page(job, 0, 9)
    follower = there.follower
    tail, behind = follower.tails.get(job), there.rows.get(job)

    here.log.append(job, [completed()])
    eventually(lambda: tail.row.closed)
    follower.bring(tail, behind)

    assert there.mender.torn() == {}
