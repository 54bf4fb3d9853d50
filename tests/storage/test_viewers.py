"""What `Viewers` promises, for every storage."""

from __future__ import annotations

import math

from streaming.storage.base import Storage, Viewer
from tests.threads import together


def test_nobody_watches_a_job_at_first(storage: Storage) -> None:
    assert storage.viewers.of("job_a") == []


def test_who_comes_is_seen_with_transport_and_position(storage: Storage) -> None:
    viewer = storage.viewers.enter("job_a", "sse", 7)

    [found] = storage.viewers.of("job_a")
    assert found == Viewer(viewer, "sse", found.since, 7)
    assert found.since.endswith("Z")


def test_a_viewer_watches_one_job(storage: Storage) -> None:
    storage.viewers.enter("job_a", "sse", 0)
    other = storage.viewers.enter("job_b", "ws", 0)

    assert [viewer.id for viewer in storage.viewers.of("job_b")] == [other]


def test_a_viewer_moves_on_alone(storage: Storage) -> None:
    first, second = (storage.viewers.enter("job_a", "sse", 0) for _ in range(2))

    storage.viewers.move("job_a", first, 12)

    positions = {viewer.id: viewer.position for viewer in storage.viewers.of("job_a")}
    assert positions == {first: 12, second: 0}


def test_who_has_left_is_not_seen(storage: Storage) -> None:
    first, second = (storage.viewers.enter("job_a", "sse", 0) for _ in range(2))

    storage.viewers.leave("job_a", first)

    assert [viewer.id for viewer in storage.viewers.of("job_a")] == [second]


def test_leaving_again_and_moving_afterwards_do_nothing(storage: Storage) -> None:
    viewer = storage.viewers.enter("job_a", "sse", 0)

    for _ in range(2):
        storage.viewers.leave("job_a", viewer)
    storage.viewers.move("job_a", viewer, 5)
    storage.viewers.leave("job_unknown", "nobody")

    assert storage.viewers.of("job_a") == []


def test_a_job_that_nobody_has_watched_is_absent_for_ever(storage: Storage) -> None:
    storage.viewers.enter("job_b", "sse", 0)

    assert storage.viewers.absent_s("job_a") == math.inf


def test_absence_begins_when_the_last_viewer_leaves(storage: Storage) -> None:
    first, second = (storage.viewers.enter("job_a", "sse", 0) for _ in range(2))
    storage.viewers.leave("job_a", first)
    assert storage.viewers.absent_s("job_a") == 0

    storage.viewers.leave("job_a", second)
    assert 0 <= storage.viewers.absent_s("job_a") < 60
    storage.viewers.leave("job_a", "nobody")
    storage.viewers.enter("job_a", "ws", 0)
    assert storage.viewers.absent_s("job_a") == 0


def test_many_come_and_go_at_once(storage: Storage) -> None:
    def visit() -> str:
        for _ in range(50):
            storage.viewers.leave("job_a", storage.viewers.enter("job_a", "sse", 0))
        return storage.viewers.enter("job_a", "sse", 0)

    stayed = together([visit] * 8)

    assert sorted(v.id for v in storage.viewers.of("job_a")) == sorted(map(str, stayed))
