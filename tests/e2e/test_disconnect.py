"""`on_disconnect`: jobs that nobody watches any more, or ever watched."""

from __future__ import annotations

from contextlib import closing

from tests.e2e.clients import Api, Reader, read_poll, read_sse
from tests.e2e.reading import upto

#: The grace of these jobs: longer than any pause of a reader that comes back at once.
GRACE = {"on_disconnect": "cancel", "disconnect_grace_s": 0.5}


def test_a_job_ends_when_its_last_viewer_has_left(api: Api, read: Reader) -> None:
    job = api.submit("counting", **GRACE)

    with closing(read(api, job)) as events:
        upto(events, "text.delta")

    shown = api.finish(job)
    assert shown["status"] == "cancelled"
    assert api.log_of(job)[-1]["data"]["reason"]


def test_a_job_that_nobody_ever_watched_ends(api: Api) -> None:
    job = api.submit("counting", **GRACE)

    assert api.reach(job, "cancelled")["seq"] > 2


def test_a_job_that_nobody_watches_goes_on_when_it_is_told_to(api: Api) -> None:
    lasting = api.submit("asking", on_disconnect="continue", disconnect_grace_s=0.1)
    with closing(read_sse(api, lasting)) as events:
        upto(events, "input.requested")
    other = api.submit("counting", **GRACE)
    api.reach(other, "cancelled")

    assert api.snapshot(lasting)["status"] == "waiting_for_input"
    api.cancel(lasting)


def test_a_job_that_is_watched_outlasts_its_grace(api: Api, read: Reader) -> None:
    job = api.submit("counting", **GRACE)
    other = api.submit("counting", **GRACE)

    with closing(read(api, job)) as events:
        upto(events, "text.delta")
        while api.snapshot(other)["status"] != "cancelled":
            next(events)
        assert api.snapshot(job)["status"] == "running"


def test_a_reader_that_comes_back_within_the_grace_keeps_the_job(api: Api) -> None:
    job = api.submit("counting", **GRACE)
    other = api.submit("counting", on_disconnect="cancel", disconnect_grace_s=1.5)

    seen = 0
    while api.snapshot(other)["status"] != "cancelled":
        with closing(read_sse(api, job, after=seen)) as events:
            seen = [next(events) for _ in range(3)][-1]["seq"]

    assert api.snapshot(job)["status"] == "running"
    api.cancel(job)


def test_polls_with_pauses_within_the_grace_keep_the_job(api: Api) -> None:
    job = api.submit("asking", **GRACE)
    other = api.submit("counting", on_disconnect="cancel", disconnect_grace_s=1.5)

    while api.snapshot(other)["status"] != "cancelled":
        api.get(f"/v1/jobs/{job}/poll", params={"after": 0, "wait": 0})

    assert api.snapshot(job)["status"] == "waiting_for_input"
    assert api.reach(job, "cancelled")


def test_a_job_that_has_ended_by_itself_is_left_alone(api: Api) -> None:
    job = api.submit("plain", {"words": ["a"]}, on_disconnect="cancel", disconnect_grace_s=0)

    assert list(read_poll(api, job))[-1]["type"] in ("job.completed", "job.cancelled")
