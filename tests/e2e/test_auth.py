"""Keys, owners and origins."""

from __future__ import annotations

import pytest
import websocket

from tests.e2e.clients import Api, Reader, Socket
from tests.e2e.server import Server


@pytest.fixture
def nobody(keyed: Server) -> Api:
    return keyed.api


@pytest.fixture
def alice(keyed: Server) -> Api:
    return keyed.api.with_key("alice-key")


@pytest.fixture
def bob(keyed: Server) -> Api:
    return keyed.api.with_key("bob-key")


@pytest.fixture
def job(alice: Api) -> str:
    """A job of Alice's with an artifact, ended."""
    return alice.run("making", {"name": "a.txt", "versions": ["hers"]})["id"]


GETS = ["", "/events", "/poll", "/viewers", "/artifacts/a.txt"]


def statuses(api: Api, job: str) -> set[int]:
    """What each route of a job says to `api`."""
    responses = [api.get(f"/v1/jobs/{job}{path}") for path in GETS]
    responses.append(api.get("/v1/events", params={"job": job}))
    responses.append(api.cancel(job))
    responses.append(api.answer(job, {"ok": True}))
    responses.append(api.delete(f"/v1/jobs/{job}"))
    assert {r.headers["Content-Type"] for r in responses} == {"application/problem+json"}
    return {response.status_code for response in responses}


def upgrade_status(api: Api, path: str, **options: str) -> int:
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        Socket(api, path, **options)
    return refused.value.status_code


@pytest.mark.parametrize("key", [None, "wrong", "alice-key bob-key", "alice-ke", "ALICE-KEY"])
def test_without_a_valid_key_everything_is_401(keyed: Server, job: str, key: str | None) -> None:
    api = Api(keyed.url, key)

    assert statuses(api, job) == {401}
    for path in ("/v1/jobs", "/v1/tasks"):
        assert api.get(path).status_code == 401
    assert api.post("/v1/jobs", json={"task": "plain"}).status_code == 401
    assert api.post("/v1/files", files={"file": b"x"}).status_code == 401
    for path in ("/v1/ws", f"/v1/jobs/{job}/ws"):
        assert upgrade_status(api, path) == 401


def test_a_401_says_how_to_come_in(nobody: Api) -> None:
    assert nobody.get("/v1/jobs").headers["WWW-Authenticate"].startswith("Bearer")


def test_health_is_open_to_all(nobody: Api) -> None:
    assert nobody.get("/healthz").status_code == 200
    assert nobody.get("/readyz").status_code == 200


def test_the_owner_may_do_everything(alice: Api, job: str) -> None:
    for path in GETS:
        assert alice.get(f"/v1/jobs/{job}{path}").status_code == 200
    assert alice.get(f"/v1/jobs/{job}/artifacts/a.txt").text == "hers"
    assert job in [each["id"] for each in alice.get("/v1/jobs").json()["jobs"]]


def test_the_owner_reads_over_every_transport(alice: Api, job: str, read: Reader) -> None:
    assert list(read(alice, job)) == alice.log_of(job)


def test_another_owners_job_is_404_on_every_route(alice: Api, bob: Api, job: str) -> None:
    assert statuses(bob, job) == {404}
    assert upgrade_status(bob, f"/v1/jobs/{job}/ws") == 404
    with Socket(bob, "/v1/ws") as connection:
        for command in ("subscribe", "cancel", "input"):
            assert connection.ask(command, job=job, data=1)["error"]["status"] == 404
    assert alice.get(f"/v1/jobs/{job}").status_code == 200


def test_another_owners_job_looks_like_one_that_never_was(bob: Api, job: str) -> None:
    never = "job_" + "0" * 26

    known, unknown = (bob.get(f"/v1/jobs/{each}").text for each in (job, never))

    assert known.replace(job, never) == unknown


def test_a_running_job_of_another_owner_is_left_alone(alice: Api, bob: Api) -> None:
    job = alice.submit("asking")
    alice.reach(job, "waiting_for_input")

    assert bob.cancel(job).status_code == 404
    assert bob.answer(job, {"ok": True}).status_code == 404
    assert alice.snapshot(job)["status"] == "waiting_for_input"
    alice.cancel(job)


def test_a_feed_with_one_job_of_another_owner_is_404(alice: Api, bob: Api, job: str) -> None:
    own = bob.run("plain", {"words": ["a"]})["id"]

    assert bob.get("/v1/events", params={"job": [own, job]}).status_code == 404


def test_another_owners_jobs_are_not_in_the_list(bob: Api, job: str) -> None:
    assert job not in [each["id"] for each in bob.get("/v1/jobs").json()["jobs"]]


def test_an_idempotency_key_belongs_to_its_owner(alice: Api, bob: Api) -> None:
    body = {"task": "plain", "input": {"words": ["a"]}}
    asked = {"Idempotency-Key": "shared"}

    hers, his = (each.post("/v1/jobs", json=body, headers=asked) for each in (alice, bob))

    assert hers.json()["id"] != his.json()["id"]
    assert "Idempotency-Replayed" not in his.headers


def test_another_owners_file_is_not_there(alice: Api, bob: Api) -> None:
    csv = b"month,revenue\n2024-01,10\n2024-02,20\n2024-03,15\n"
    file = alice.post("/v1/files", files={"file": csv}).json()["files"][0]["id"]
    body = {"task": "report", "input": {"file": file, "tokens_per_s": 0}}

    hers, his = (
        each.post("/v1/jobs", json=body, headers={"Prefer": "wait=9"}) for each in (alice, bob)
    )

    assert hers.json()["status"] == "completed"
    assert his.status_code == 422 or his.json()["status"] == "failed"


def test_keys_are_not_shown(keyed: Server, alice: Api, job: str) -> None:
    assert "alice-key" not in str(alice.log_of(job))
    assert "alice-key" not in alice.get("/metrics").text
    assert "alice-key" not in keyed.log_text()


def test_a_trusted_origin_may_open_a_websocket_and_a_foreign_one_not(alice: Api) -> None:
    Socket(alice, "/v1/ws", origin="https://friend.example").close()
    Socket(alice, "/v1/ws", origin=alice.url).close()

    for origin in ("https://friend.example.evil.example", "http://friend.example", "null"):
        assert upgrade_status(alice, "/v1/ws", origin=origin) == 403, origin


def test_a_trusted_origin_may_read_answers_and_a_foreign_one_not(alice: Api, job: str) -> None:
    friend, foe = {"Origin": "https://friend.example"}, {"Origin": "https://evil.example"}

    for path in (f"/v1/jobs/{job}", f"/v1/jobs/{job}/events", "/v1/jobs/nonsense"):
        allowed = alice.get(path, headers=friend).headers
        assert allowed["Access-Control-Allow-Origin"] == "https://friend.example", path
        assert allowed["Vary"] == "Origin", path
        assert "Access-Control-Allow-Origin" not in alice.get(path, headers=foe).headers


def test_a_preflight_of_a_trusted_origin_is_answered_without_a_key(nobody: Api) -> None:
    asked = {
        "Origin": "https://friend.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
    }

    response = nobody.request("OPTIONS", "/v1/jobs", headers=asked)

    assert response.status_code in (200, 204)
    assert response.headers["Access-Control-Allow-Origin"] == "https://friend.example"
    allowed = response.headers["Access-Control-Allow-Headers"].lower()
    for header in ("authorization", "content-type", "idempotency-key"):
        assert header in allowed
    assert "POST" in response.headers["Access-Control-Allow-Methods"]


def test_every_transport_refuses_a_reader_without_a_key(
    nobody: Api, job: str, read: Reader
) -> None:
    with pytest.raises(Exception, match="401"):
        next(read(nobody, job))
