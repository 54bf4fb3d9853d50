"""Long polling: pages, waiting, and where it is in the log."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from tests.e2e.clients import Api, Json, read_poll
from tests.e2e.reading import assert_whole, types_of
from tests.e2e.waiting import eventually


def poll(api: Api, job: str, headers: dict[str, str] | None = None, **query: Json) -> Json:
    response = api.get(f"/v1/jobs/{job}/poll", params=query, headers=headers)
    assert response.status_code == 200, response.text
    return response.json()


def test_a_page_says_what_is_next_and_how_the_job_stands(api: Api) -> None:
    shown = api.run("plain", {"words": ["a", "b"]})
    job, last = shown["id"], shown["seq"]

    first = poll(api, job, limit=2)
    rest = poll(api, job, after=first["next"])
    behind = poll(api, job, after=last)

    assert set(first) == {"events", "next", "status", "closed"}
    assert [event["seq"] for event in first["events"]] == [1, 2]
    assert (first["next"], first["status"], first["closed"]) == (2, "completed", False)
    assert (rest["next"], rest["closed"]) == (last, True)
    assert behind == {"events": [], "next": last, "status": "completed", "closed": True}


def test_a_poll_returns_as_soon_as_there_is_something(api: Api) -> None:
    job = api.submit("asking")
    last = api.reach(job, "waiting_for_input")["seq"]

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(poll, api, job, after=last, wait=9)
        eventually(lambda: api.get(f"/v1/jobs/{job}/viewers").json()["count"], "it is polled")
        began = time.monotonic()
        api.answer(job, {"ok": True})
        page = waiting.result()

    assert time.monotonic() - began < 2
    assert page["events"][0]["type"] == "input.received"


def test_a_poll_in_vain_is_an_empty_page_when_its_time_is_over(api: Api) -> None:
    job = api.submit("asking")
    last = api.reach(job, "waiting_for_input")["seq"]

    began = time.monotonic()
    page = poll(api, job, after=last, wait=0.5)

    assert 0.4 < time.monotonic() - began < 3
    assert page == {"events": [], "next": last, "status": "waiting_for_input", "closed": False}
    api.cancel(job)


def test_a_poll_without_wait_answers_at_once(api: Api) -> None:
    job = api.submit("asking")
    last = api.reach(job, "waiting_for_input")["seq"]

    began = time.monotonic()
    poll(api, job, after=last, wait=0)

    assert time.monotonic() - began < 1
    api.cancel(job)


def test_too_long_a_wait_is_clamped_not_refused(api: Api) -> None:
    job = api.run("plain", {"words": ["a"]})["id"]

    assert poll(api, job, wait=100_000)["closed"]


def test_limits_and_waits_that_are_none_are_refused(api: Api) -> None:
    job = api.run("plain", {"words": ["a"]})["id"]

    for query in (
        {"limit": 0},
        {"limit": 5001},
        {"limit": "x"},
        {"wait": "x"},
        {"wait": -1},
        {"wait": "nan"},
    ):
        status = api.get(f"/v1/jobs/{job}/poll", params=query).status_code
        assert status in (400, 422), query


def test_an_unchanged_page_is_304(api: Api) -> None:
    job = api.submit("asking")
    last = api.reach(job, "waiting_for_input")["seq"]
    path, asked = f"/v1/jobs/{job}/poll", {"wait": 0, "after": last}

    tag = api.get(path, params=asked).headers["ETag"]
    same = api.get(path, params=asked, headers={"If-None-Match": tag})
    api.answer(job, {"ok": True})
    api.finish(job)
    changed = api.get(path, params=asked, headers={"If-None-Match": tag})

    assert (same.status_code, same.content) == (304, b"")
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag


def test_a_page_from_another_position_is_not_304(api: Api) -> None:
    job = api.run("plain", {"words": ["a", "b"]})["id"]
    path, asked = f"/v1/jobs/{job}/poll", {"wait": 0, "limit": 2}

    first = api.get(path, params=asked, headers={"Last-Event-ID": "0"})
    headers = {"Last-Event-ID": str(first.json()["next"]), "If-None-Match": first.headers["ETag"]}
    second = api.get(path, params=asked, headers=headers)

    assert second.status_code == 200
    assert [event["seq"] for event in second.json()["events"]] == [3, 4]


def test_pages_of_one_event_make_up_the_log(api: Api) -> None:
    shown = api.run("generator", {"words": list("abc")})

    events = list(read_poll(api, shown["id"], limit=1))

    assert assert_whole(events) == shown["seq"]
    assert types_of(events)[-1] == "job.completed"
