"""The feed: many jobs over one connection."""

from __future__ import annotations

from contextlib import closing

from tests.e2e.clients import Api, Envelope, read_feed, sse_frames
from tests.e2e.reading import assert_ended, assert_whole, of_type, types_of


def of_job(events: list[Envelope], job: str) -> list[Envelope]:
    return [event for event in events if event["job"] == job]


def test_a_feed_gives_every_job_whole_and_ends_when_all_have_ended(api: Api) -> None:
    jobs = [api.submit("generate", {"prompt": p, "tokens_per_s": 500}) for p in ("a", "b", "c")]

    frames = sse_frames(api, "/v1/events", job=jobs)
    events = [frame.json() for frame in frames if frame.data]

    for job in jobs:
        assert assert_whole(of_job(events, job)) == api.snapshot(job)["seq"]
        assert_ended(of_job(events, job))


def test_the_id_of_each_frame_is_the_position_in_all_of_them(api: Api) -> None:
    one, two = (api.run("plain", {"words": [word]})["id"] for word in ("a", "b"))

    with closing(sse_frames(api, "/v1/events", job=[one, two])) as frames:
        opening, *first = (next(frames) for _ in range(3))
    resumed = [
        frame.json()
        for frame in sse_frames(
            api, "/v1/events", job=[one, two], headers={"Last-Event-ID": first[-1].id}
        )
        if frame.data
    ]

    assert positions(opening.id) == {one: 0, two: 0}
    seen = {each.json()["job"]: each.json()["seq"] for each in first}
    assert positions(first[-1].id) == {one: 0, two: 0} | seen
    for job in (one, two):
        assert assert_whole(of_job(resumed, job), after=seen.get(job, 0)) > 0


def positions(id: str) -> dict[str, int]:
    pairs = (part.split(":") for part in id.split(","))
    return {job: int(seq) for job, seq in pairs}


def test_a_feed_of_ended_jobs_that_is_caught_up_is_204(api: Api) -> None:
    one, two = (api.run("plain", {"words": [word]}) for word in ("a", "b"))
    asked = {"job": [one["id"], two["id"]]}

    half = api.get("/v1/events", params={**asked, "after": f"{one['id']}:{one['seq']}"})
    caught_up = ",".join(f"{each['id']}:{each['seq']}" for each in (one, two))
    whole = api.get("/v1/events", params={**asked, "after": caught_up})

    assert half.status_code == 200
    assert one["id"] not in half.text.replace(caught_up.split(",")[0], "")
    assert whole.status_code == 204


def test_an_unknown_job_is_404_for_the_whole_feed(api: Api) -> None:
    known = api.run("plain", {"words": ["a"]})["id"]

    for other in ("job_" + "0" * 26, "nonsense"):
        assert api.get("/v1/events", params={"job": [known, other]}).status_code == 404


def test_a_feed_is_of_1_to_100_jobs(api: Api) -> None:
    jobs = [api.submit("plain", {"words": ["a"]}) for _ in range(101)]

    none = api.get("/v1/events")
    too_many = api.get("/v1/events", params={"job": jobs})
    events = [f.json() for f in sse_frames(api, "/v1/events", job=jobs[:100]) if f.data]

    assert {none.status_code, too_many.status_code} <= {400, 422}
    assert len(of_type(events, "job.completed")) == 100


def test_a_job_that_is_named_twice_is_given_once(api: Api) -> None:
    shown = api.run("plain", {"words": ["a"]})

    frames = sse_frames(api, "/v1/events", job=[shown["id"]] * 2)
    events = [frame.json() for frame in frames if frame.data]

    assert assert_whole(events) == shown["seq"]


def test_jobs_behind_and_ahead_of_their_logs_do_not_disturb_the_others(api: Api) -> None:
    one, two = (api.run("plain", {"words": [word]}) for word in ("a", "b"))
    after = f"{one['id']}:999"

    frames = sse_frames(api, "/v1/events", job=[one["id"], two["id"]], after=after)
    events = [frame.json() for frame in frames if frame.data]

    assert types_of(of_job(events, one["id"])) == ["stream.gap", "stream.snapshot"]
    assert assert_whole(of_job(events, two["id"])) == two["seq"]


def test_a_feed_of_one_job_reads_like_its_stream(api: Api) -> None:
    job = api.run("plain", {"words": ["a"]})["id"]

    assert list(read_feed(api, job)) == api.log_of(job)
