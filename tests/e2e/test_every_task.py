"""The service's own tasks over the whole way: upload, job, stream, artifacts, crash."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.clients import Api, Socket, read_sse
from tests.e2e.conftest import NewServer
from tests.e2e.reading import of_type, texts
from tests.e2e.waiting import eventually

DATA = "size,weight,class\n" + "".join(f"{n},{n * 2.5},c{n % 2}\n" for n in range(60))


def upload(api: Api, text: str, name: str = "data.csv") -> str:
    response = api.post("/v1/files", files={"file": (name, text.encode())})
    assert response.status_code == 201, response.text
    return response.json()["files"][0]["id"]


def given(api: Api, task: str) -> dict[str, Any]:
    """The input of a task."""
    inputs: dict[str, Any] = {
        "agent": lambda: {"question": "What is a lease, and 6*7?", "tokens_per_s": 0},
        "analyze": lambda: {"file": upload(api, DATA)},
        "files": lambda: {"files": [upload(api, DATA), upload(api, "a b", "note.txt")]},
        "train": lambda: {"file": upload(api, DATA), "epochs": 3},
    }
    return inputs[task]()


ARTIFACTS = {
    "agent": [],
    "analyze": ["01-size.svg", "02-weight.svg", "report.html", "report.json"],
    "files": ["manifest.json"],
    "train": ["curve.svg", "epochs.csv", "model.npz"],
}


@pytest.mark.parametrize("task", ARTIFACTS)
def test_a_task_is_watched_to_its_end(api: Api, task: str) -> None:
    job = api.submit(task, given(api, task))

    events = list(read_sse(api, job))

    shown = api.snapshot(job)
    assert shown["status"] == "completed", shown["error"]
    assert {step["status"] for step in shown["steps"]} == {"completed"}
    assert shown["progress"]["percent"] == 100
    assert "".join(texts(events).values()) == shown["text"]
    assert sorted(each["name"] for each in shown["artifacts"]) == ARTIFACTS[task]
    for artifact in shown["artifacts"]:
        assert len(api.get(artifact["href"]).content) == artifact["size"]


def test_several_people_see_the_same_conversation(api: Api) -> None:
    job = api.submit("chat", {"tokens_per_s": 100})
    with Socket(api, f"/v1/jobs/{job}/ws") as ann, Socket(api, "/v1/ws") as bob:
        assert bob.ask("subscribe", job=job)["type"] == "ack"
        assert ann.ask("input", data={"message": "Hello", "by": "ann"})["type"] == "ack"
        eventually(lambda: api.snapshot(job)["text"], "it answers ann")
        assert bob.ask("input", job=job, data={"message": "And me?", "by": "bob"})["type"] == "ack"
        assert api.answer(job, {"stop": True}).status_code == 200
        eventually(lambda: len(api.snapshot(job)["texts"]) == 2, "it answers bob")
        assert api.answer(job, {"end": True}).status_code == 200
        heard = [rest_of(ann), rest_of(bob)]

    shown = api.snapshot(job)
    assert shown["output"]["turns"] == 2
    assert heard[0] == heard[1] == {each["item"]: each["text"] for each in shown["texts"]}


def rest_of(socket: Socket) -> dict[str, str]:
    """The texts that come to a socket until the job ends."""
    events = []
    while (event := socket.receive()) is not None:
        events.append(event)
        if event["type"] == "job.completed":
            break
    return texts(events)


def test_what_is_sent_to_a_running_task_is_checked_before_it_is_taken(
    api: Api, worker_class: str
) -> None:
    # A job worker serves no streams: it tells of the deployment.
    of_process = "service_workers" if worker_class == "redis" else "service_streams"
    of_service = {of_process, "service_jobs", "service_queue", "service_events", "service_log"}
    job = api.submit("monitor", {"interval_s": 0.2})
    api.reach(job, "running")

    response = api.answer(job, {"name": "orders", "value": "many"})

    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "data.value"
    assert api.answer(job, {"name": "orders", "value": 3}).status_code == 200
    eventually(
        lambda: (
            {"orders", "cpu"} | of_service
            <= {each["name"] for each in api.snapshot(job)["metrics"]}
        ),
        "the figures are told",
    )
    assert api.cancel(job).status_code in (200, 202)
    assert api.finish(job)["status"] == "cancelled"


@pytest.mark.parametrize("task", ARTIFACTS)
def test_a_task_goes_on_after_a_crash(new_server: NewServer, task: str) -> None:
    server = new_server(STREAMING_TASKS="tests.e2e.e2e_tasks").start()
    api = server.api
    jobs = [api.submit(task, given(api, task)) for _ in range(3)]
    eventually(lambda: api.snapshot(jobs[0])["status"] != "queued", "it runs")

    server.kill()
    server.start()

    for job in jobs:
        shown = api.finish(job, timeout_s=60)
        assert shown["status"] == "completed", shown["error"]
        assert sorted(each["name"] for each in shown["artifacts"]) == ARTIFACTS[task]
        steps = [each["data"] for each in of_type(api.log_of(job), "step.updated")]
        done = [step["id"] for step in steps if step["status"] == "completed"]
        assert len(set(done)) == len(done)


def test_a_manifest_lists_what_was_uploaded(api: Api) -> None:
    job = api.run("files", {"files": [upload(api, "one two", "note.txt")]})["id"]

    (entry,) = json.loads(api.get(f"/v1/jobs/{job}/artifacts/manifest.json").text)["files"]

    assert (entry["name"], entry["text"]["words"]) == ("note.txt", 2)
