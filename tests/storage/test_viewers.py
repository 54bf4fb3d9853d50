"""What `Viewers` promises, for every storage."""

from __future__ import annotations

import math

from streaming.storage.base import Storage
from streaming.storage.viewers import Viewer
from tests.e2e.waiting import eventually
from tests.threads import together


def at_start() -> int:
    return 0


def test_nobody_watches_a_job_at_first(storage: Storage) -> None:
    assert storage.viewers.of("job_a") == []


def test_who_comes_is_seen_with_transport_and_position(storage: Storage) -> None:
    viewer = storage.viewers.enter("job_a", "sse", lambda: 7)

    [found] = storage.viewers.of("job_a")
    assert found == Viewer(viewer, "sse", found.since, 7)
    assert found.since.endswith("Z")


def test_a_viewer_watches_one_job(storage: Storage) -> None:
    storage.viewers.enter("job_a", "sse", at_start)
    other = storage.viewers.enter("job_b", "ws", at_start)

    assert [viewer.id for viewer in storage.viewers.of("job_b")] == [other]


def test_a_viewer_moves_on_alone(storage: Storage) -> None:
    position = iter([5, 12])
    first = storage.viewers.enter("job_a", "sse", lambda: next(position))
    second = storage.viewers.enter("job_a", "sse", at_start)

    storage.viewers.of("job_a")

    positions = {viewer.id: viewer.position for viewer in storage.viewers.of("job_a")}
    assert positions == {first: 12, second: 0}


def test_who_has_left_is_not_seen(storage: Storage) -> None:
    first, second = (storage.viewers.enter("job_a", "sse", at_start) for _ in range(2))

    storage.viewers.leave("job_a", first)

    assert [viewer.id for viewer in storage.viewers.of("job_a")] == [second]


def test_leaving_again_does_nothing(storage: Storage) -> None:
    viewer = storage.viewers.enter("job_a", "sse", at_start)

    for _ in range(2):
        storage.viewers.leave("job_a", viewer)
    storage.viewers.leave("job_unknown", "nobody")

    assert storage.viewers.of("job_a") == []


def test_a_job_that_nobody_has_watched_is_absent_for_ever(storage: Storage) -> None:
    storage.viewers.enter("job_b", "sse", at_start)

    assert storage.viewers.absent_s("job_a") == math.inf


def test_absence_begins_when_the_last_viewer_leaves(storage: Storage) -> None:
    first, second = (storage.viewers.enter("job_a", "sse", at_start) for _ in range(2))
    storage.viewers.leave("job_a", first)
    assert storage.viewers.absent_s("job_a") == 0

    storage.viewers.leave("job_a", second)
    assert 0 <= storage.viewers.absent_s("job_a") < 60
    storage.viewers.leave("job_a", "nobody")
    storage.viewers.enter("job_a", "ws", at_start)
    assert storage.viewers.absent_s("job_a") == 0


def test_who_was_sent_away_counts_as_there_for_a_time(storage: Storage) -> None:
    viewer = storage.viewers.enter("job_a", "sse", at_start)
    other = storage.viewers.enter("job_a", "sse", at_start)

    storage.viewers.leave("job_a", viewer, sent_away=True)
    storage.viewers.leave("job_a", other)
    assert storage.viewers.absent_s("job_a") == 0

    storage.viewers.leave("job_a", storage.viewers.enter("job_a", "sse", at_start))
    eventually(lambda: storage.viewers.absent_s("job_a") > 0, "one has come back, and left")


def test_many_come_and_go_at_once(storage: Storage) -> None:
    def visit() -> str:
        for _ in range(50):
            storage.viewers.leave("job_a", storage.viewers.enter("job_a", "sse", at_start))
        return storage.viewers.enter("job_a", "sse", at_start)

    stayed = together([visit] * 8)

    assert sorted(v.id for v in storage.viewers.of("job_a")) == sorted(map(str, stayed))
