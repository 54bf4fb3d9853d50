"""`on_disconnect`: jobs that nobody watches any more, or ever watched."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from tests.e2e.clients import READERS, Api, Json, read_poll, read_sse
from tests.e2e.reading import upto


def watched(grace_s: float) -> dict[str, Json]:
    return {"on_disconnect": "cancel", "disconnect_grace_s": grace_s}


def test_a_job_ends_when_its_last_viewer_has_left(api: Api) -> None:
    jobs = {name: api.submit("counting", **watched(1)) for name in READERS}

    for name, read in READERS.items():
        with closing(read(api, jobs[name])) as events:
            upto(events, "text.delta")

    for name, job in jobs.items():
        assert api.finish(job)["status"] == "cancelled", name
        assert api.log_of(job)[-1]["data"]["reason"]


def test_a_job_that_nobody_ever_watched_ends(api: Api) -> None:
    job = api.submit("counting", **watched(0.3))

    assert api.reach(job, "cancelled")["seq"] > 2


def test_a_job_that_nobody_watches_goes_on_when_it_is_told_to(api: Api) -> None:
    lasting = api.submit("asking", on_disconnect="continue", disconnect_grace_s=0.1)
    with closing(read_sse(api, lasting)) as events:
        upto(events, "input.requested")
    other = api.submit("counting", **watched(0.3))
    api.reach(other, "cancelled")

    assert api.snapshot(lasting)["status"] == "waiting_for_input"
    api.cancel(lasting)


def test_a_job_that_is_watched_outlasts_its_grace(api: Api) -> None:
    with ThreadPoolExecutor(len(READERS)) as pool:
        jobs = {name: api.submit("asking", **watched(3)) for name in READERS}
        reading = {name: pool.submit(list, READERS[name](api, job)) for name, job in jobs.items()}
        api.reach(api.submit("counting", **watched(4)), "cancelled")
        for job in jobs.values():
            api.answer(job, {"ok": True})

        for name, future in reading.items():
            assert future.result()[-1]["type"] == "job.completed", name


def test_a_reader_that_comes_back_within_the_grace_keeps_the_job(api: Api) -> None:
    job, other = (api.submit("counting", **watched(grace_s)) for grace_s in (1, 2))

    seen = 0
    while api.snapshot(other)["status"] != "cancelled":
        with closing(read_sse(api, job, after=seen)) as events:
            seen = next(events)["seq"]

    assert api.snapshot(job)["status"] == "running"
    api.cancel(job)


def test_polls_with_pauses_within_the_grace_keep_the_job(api: Api) -> None:
    job = api.submit("asking", **watched(1))
    last = api.reach(job, "waiting_for_input")["seq"]
    other = api.submit("counting", **watched(2))

    while api.snapshot(other)["status"] != "cancelled":
        api.get(f"/v1/jobs/{job}/poll", params={"after": last, "wait": 0.1})

    assert api.snapshot(job)["status"] == "waiting_for_input"
    assert api.reach(job, "cancelled")


def test_polls_that_find_something_at_once_keep_the_job(api: Api) -> None:
    job, other = api.submit("counting", **watched(1)), api.submit("counting", **watched(3))

    while api.snapshot(other)["status"] != "cancelled":
        api.get(f"/v1/jobs/{job}/poll", params={"after": 0, "limit": 1})

    assert api.snapshot(job)["status"] == "running"
    assert api.reach(job, "cancelled")


def test_one_that_stays_keeps_the_job_when_another_leaves(api: Api) -> None:
    job = api.submit("counting", **watched(0.3))

    with closing(read_sse(api, job)) as staying:
        next(staying)
        with closing(read_sse(api, job)) as leaving:
            next(leaving)
        other = api.submit("counting", **watched(0.6))
        api.reach(other, "cancelled")
        assert api.snapshot(job)["status"] == "running"
    assert api.reach(job, "cancelled")


def test_a_job_without_grace_is_ended_or_has_ended_by_itself(api: Api) -> None:
    job = api.submit("plain", {"words": ["a"]}, **watched(0))

    assert list(read_poll(api, job))[-1]["type"] in ("job.completed", "job.cancelled")
