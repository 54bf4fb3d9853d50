"""Jobs as resources: submitting, the snapshot, the list, deleting."""

from __future__ import annotations

import re
from contextlib import closing
from datetime import datetime

import pytest

from tests.e2e.clients import Api, Json, Socket, read_sse
from tests.e2e.waiting import eventually

SNAPSHOT = {
    "id", "task", "title", "input", "status", "created_at", "started_at", "finished_at", "attempt",
    "queue_position", "progress", "steps", "texts", "text", "metrics", "alerts", "leases",
    "input_request", "output", "error", "usage", "artifacts", "metadata", "seq", "degraded",
    "finish_reason", "cut", "simulated", "links",
}  # fmt: skip

UNKNOWN = "job_" + "0" * 26


@pytest.fixture(scope="module")
def ended(server) -> str:
    """The scripted job, ended."""
    job = server.api.submit("scripted", metadata={"k": "v"})
    server.api.reach(job, "waiting_for_input")
    server.api.answer(job, {"ok": True})
    server.api.reach(job, "completed")
    return job


def test_a_job_is_accepted_with_its_address_and_its_snapshot(api: Api) -> None:
    response = api.post("/v1/jobs", json={"task": "plain", "input": {"words": ["a"]}})

    shown = response.json()
    assert response.status_code == 202
    assert response.headers["Location"] == f"/v1/jobs/{shown['id']}"
    assert set(shown) == SNAPSHOT
    assert re.fullmatch(r"job_[0-9A-HJKMNP-TV-Z]{26}", shown["id"])
    assert shown["status"] in ("queued", "running", "completed")
    assert (shown["queue_position"] is not None) == (shown["status"] == "queued")


def test_a_snapshot_has_the_shape_of_the_contract(api: Api, ended: str) -> None:
    shown = api.snapshot(ended)

    assert set(shown) == SNAPSHOT
    assert set(shown["progress"]) == {"percent", "eta_s", "basis"}
    for step in shown["steps"]:
        assert set(step) == {"id", "index", "total", "title", "status", "duration_s"}
    assert set(shown["links"]) == {"self", "events", "poll", "ws", "cancel"}
    for text in shown["texts"]:
        assert set(text) == {"item", "text"}
    assert (shown["status"], shown["attempt"], shown["error"]) == ("completed", 1, None)
    assert (shown["queue_position"], shown["input_request"]) == (None, None)
    assert (shown["degraded"], shown["leases"], shown["metadata"]) == (False, [], {"k": "v"})
    assert [text["item"] for text in shown["texts"]] == ["draft", "check", "answer"]
    assert shown["text"] == "".join(text["text"] for text in shown["texts"])


def test_snapshot_and_list_say_what_was_asked_under_its_title(api: Api) -> None:
    asked = {"words": ["a"], "note": "x" * 5000}
    named = api.submit("plain", asked, title="  A word ")
    plain = api.submit("plain", {"words": ["b"]})

    listed = {job["id"]: job for job in api.get("/v1/jobs?limit=2").json()["jobs"]}

    for shown in (api.snapshot(named), listed[named]):
        assert (shown["title"], shown["input"]["words"]) == ("A word", ["a"])
        assert shown["input"]["note"] == "x" * 4096 + "… [cut: 5000 bytes in all]"
    for shown in (api.snapshot(plain), listed[plain]):
        assert (shown["title"], shown["input"]) == ("Plain", {"words": ["b"]})


def test_a_title_is_200_characters_at_most(api: Api) -> None:
    response = api.post("/v1/jobs", json={"task": "plain", "title": "x" * 201})

    assert response.status_code == 422
    assert [each["field"] for each in response.json()["errors"]] == ["title"]


def test_of_each_metric_a_snapshot_has_the_latest(api: Api, ended: str) -> None:
    (metric,) = api.snapshot(ended)["metrics"]

    assert (metric["name"], metric["value"], metric["labels"]) == ("score", 0.75, {"by": "test"})


def test_a_snapshot_knows_the_artifacts(api: Api, ended: str) -> None:
    (artifact,) = api.snapshot(ended)["artifacts"]

    assert artifact["name"] == "note.txt"
    assert api.get(artifact["href"]).text == "a nöte\n"


def test_times_are_utc_with_milliseconds(api: Api, ended: str) -> None:
    shown = api.snapshot(ended)
    times = [shown[name] for name in ("created_at", "started_at", "finished_at")]

    assert times == sorted(times)
    for time in [*times, *(event["at"] for event in api.log_of(ended))]:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time)
        datetime.fromisoformat(time)


def test_the_links_of_a_snapshot_lead_somewhere(api: Api, ended: str) -> None:
    links = api.snapshot(ended)["links"]

    assert api.get(links["self"]).json()["id"] == ended
    assert api.get(links["events"]).status_code == 200
    assert api.get(links["poll"]).json()["closed"]
    assert api.post(links["cancel"]).status_code == 200
    with Socket(api, links["ws"]) as connection:
        assert connection.receive()["seq"] == 1


def test_json_is_utf8_and_not_escaped(api: Api, ended: str) -> None:
    body = api.get(f"/v1/jobs/{ended}").content

    assert "世界 🚀".encode() in body
    assert b"\\u" not in body


def test_a_waiting_job_shows_what_it_asks(api: Api) -> None:
    job = api.submit("asking")
    shown = api.reach(job, "waiting_for_input")

    assert set(shown["input_request"]) >= {"request", "prompt", "schema"}
    assert shown["input_request"]["prompt"] == "Is it good?"
    api.cancel(job)


def test_an_unchanged_snapshot_is_304(api: Api, ended: str) -> None:
    path = f"/v1/jobs/{ended}"
    tag = api.get(path).headers["ETag"]

    same = api.get(path, headers={"If-None-Match": tag})
    weak = api.get(path, headers={"If-None-Match": f'"other", W/{tag.removeprefix("W/")}'})
    other = api.get(path, headers={"If-None-Match": '"other"'})

    assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", tag)
    assert (weak.status_code, other.status_code) == (304, 200)


def test_the_etag_changes_with_the_job(api: Api) -> None:
    job = api.submit("asking")
    api.reach(job, "waiting_for_input")
    tag = api.get(f"/v1/jobs/{job}").headers["ETag"]

    api.answer(job, {"ok": True})
    api.finish(job)
    response = api.get(f"/v1/jobs/{job}", headers={"If-None-Match": tag})

    assert response.status_code == 200
    assert response.headers["ETag"] != tag


@pytest.mark.parametrize("job", [UNKNOWN, "nonsense", "job_", "job_" + "é" * 26, "%00"])
def test_unknown_and_malformed_ids_are_404_on_every_route(api: Api, job: str) -> None:
    gets = ["", "/events", "/poll", "/viewers", "/artifacts/a.txt"]
    responses = [api.get(f"/v1/jobs/{job}{path}") for path in gets]
    responses += [
        api.post(f"/v1/jobs/{job}/cancel"),
        api.answer(job, 1),
        api.delete(f"/v1/jobs/{job}"),
    ]

    assert [response.status_code for response in responses] == [404] * len(responses)
    assert {response.headers["Content-Type"] for response in responses} == {
        "application/problem+json"
    }


def test_a_deleted_job_is_gone_at_once(api: Api) -> None:
    job = api.run("plain", {"words": ["a"]})["id"]

    deleted = api.delete(f"/v1/jobs/{job}")

    assert (deleted.status_code, deleted.content) == (204, b"")
    for path in ("", "/events", "/poll", "/viewers"):
        assert api.get(f"/v1/jobs/{job}{path}").status_code == 404, path
    assert api.get("/v1/events", params={"job": job}).status_code == 404
    assert api.cancel(job).status_code == 404
    assert api.delete(f"/v1/jobs/{job}").status_code == 404
    assert job not in [each["id"] for each in api.get("/v1/jobs").json()["jobs"]]


def test_a_job_that_has_not_ended_cannot_be_deleted(api: Api) -> None:
    job = api.submit("sleeping")

    assert api.delete(f"/v1/jobs/{job}").status_code == 409
    api.cancel(job)
    api.finish(job)
    assert api.delete(f"/v1/jobs/{job}").status_code == 204


def test_the_list_is_newest_first_and_leaves_out_what_is_long(api: Api) -> None:
    jobs = [api.run("plain", {"words": [word]})["id"] for word in "abc"]

    listed = api.get("/v1/jobs", params={"limit": 3}).json()

    assert [each["id"] for each in listed["jobs"]] == jobs[::-1]
    for each in listed["jobs"]:
        assert set(each) == SNAPSHOT - {"text", "texts", "steps", "output"}


def test_pages_of_the_list_neither_repeat_nor_miss_a_job(api: Api) -> None:
    jobs = [api.run("generator", {"words": ["a"]})["id"] for _ in range(5)]
    asked: dict[str, Json] = {"task": "generator", "limit": 2}

    first = api.get("/v1/jobs", params=asked).json()
    newer = api.run("generator", {"words": ["b"]})["id"]
    seen, page = first["jobs"], first
    while page["next_page_token"] is not None:
        token = {"page_token": page["next_page_token"]}
        page = api.get("/v1/jobs", params=asked | token).json()
        seen += page["jobs"]

    ids = [each["id"] for each in seen]
    assert ids[:5] == jobs[::-1]
    assert newer not in ids
    assert len(ids) == len(set(ids))


def test_the_list_is_filtered_by_status_and_task(api: Api) -> None:
    failed = api.run("failing")["id"]
    api.run("plain", {"words": ["a"]})

    by_status = api.get("/v1/jobs", params={"status": "failed"}).json()["jobs"]
    by_task = api.get("/v1/jobs", params={"task": "failing"}).json()["jobs"]
    by_both = api.get("/v1/jobs", params={"task": "plain", "status": "failed"}).json()["jobs"]

    assert failed in [each["id"] for each in by_status]
    assert {each["status"] for each in by_status} == {"failed"}
    assert {each["task"] for each in by_task} == {"failing"}
    assert by_both == []


@pytest.mark.parametrize(
    "query",
    [{"status": "happy"}, {"limit": 0}, {"limit": "x"}, {"page_token": "nonsense"}],
    ids=str,
)
def test_a_list_that_cannot_be_is_refused(api: Api, query: dict[str, Json]) -> None:
    assert api.get("/v1/jobs", params=query).status_code in (400, 422)


def test_viewers_are_counted_by_transport_each_with_its_lag(api: Api) -> None:
    job = api.submit("asking")
    api.reach(job, "waiting_for_input")

    with closing(read_sse(api, job)) as events, Socket(api, f"/v1/jobs/{job}/ws") as connection:
        next(events)
        connection.receive()
        shown = eventually(
            lambda: (
                (v := viewers(api, job))["count"] == 2
                and [viewer["lag"] for viewer in v["viewers"]] == [0, 0]
                and v
            ),
            "there are two viewers, who have everything",
        )
        assert shown["by_transport"] == {"sse": 1, "websocket": 1}
    eventually(lambda: viewers(api, job)["count"] == 0, "they have left")
    api.cancel(job)


def viewers(api: Api, job: str) -> Json:
    return api.get(f"/v1/jobs/{job}/viewers").json()


def test_the_tasks_are_listed_with_what_a_form_needs(api: Api) -> None:
    tasks = {each["name"]: each for each in api.get("/v1/tasks").json()["tasks"]}

    for each in tasks.values():
        assert set(each) == {"name", "title", "description", "input_schema", "steps"}
    assert {"generate", "report", "scripted"} <= set(tasks)
    assert [step["id"] for step in tasks["report"]["steps"]] == [
        "read",
        "trends",
        "anomalies",
        "chart",
        "summary",
    ]
    assert tasks["generate"]["input_schema"]["required"] == ["prompt"]
