"""WebSocket: the commands, their answers, and the codes of closing."""

from __future__ import annotations

import json

import pytest
import websocket

from tests.e2e.clients import TERMINAL, Api, Socket
from tests.e2e.reading import assert_ended, assert_whole, types_of
from tests.e2e.server import Server
from tests.e2e.waiting import eventually

UNKNOWN = "job_" + "0" * 26


def refusal(api: Api, path: str, **options: str) -> int:
    """The HTTP status that comes before the upgrade."""
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        Socket(api, path, **options)
    return refused.value.status_code


def test_the_socket_of_a_job_closes_with_1000_after_the_terminal_event(api: Api) -> None:
    job = api.submit("asking")

    with Socket(api, f"/v1/jobs/{job}/ws") as connection:
        api.reach(job, "waiting_for_input")
        api.answer(job, {"ok": True})
        events = rest_of(connection)

    assert_ended(events)
    assert connection.code == 1000


def rest_of(connection: Socket) -> list:
    return list(iter(connection.receive, None))


def test_the_socket_of_an_ended_job_that_is_caught_up_closes_at_once(api: Api) -> None:
    shown = api.run("plain", {"words": ["a"]})

    with Socket(api, f"/v1/jobs/{shown['id']}/ws", after=shown["seq"]) as connection:
        assert rest_of(connection) == []
        assert connection.code == 1000


def test_every_command_is_answered_with_its_ref(api: Api) -> None:
    with Socket(api, "/v1/ws") as connection:
        for ref in ("a", 7, None, {"deep": [1]}):
            connection.send(json.dumps({"type": "ping", "ref": ref}))
            assert connection.receive() == {"type": "ack", "ref": ref}


def test_a_command_with_text_that_is_none_is_refused_with_its_ref(api: Api) -> None:
    with Socket(api, "/v1/ws") as connection:
        connection.send('{"type": "submit", "task": "plain", "title": "\\ud800", "ref": "mine"}')
        answer = connection.receive()

    assert (answer["ref"], answer["error"]["code"]) == ("mine", "invalid_text")


def test_submit_stores_the_job_and_follows_it_from_the_start(api: Api) -> None:
    fields = {"title": "Mine", "metadata": {"k": "v"}, "timeout_s": 60}
    with Socket(api, "/v1/ws") as connection:
        ack = connection.ask("submit", task="plain", input={"words": ["a"]}, **fields)
        events = [connection.receive()]
        while events[-1]["type"] not in TERMINAL:
            events.append(connection.receive())

    job = ack["job"]
    assert (job["title"], job["metadata"]) == ("Mine", {"k": "v"})
    assert events[0]["data"]["timeout_s"] == 60
    assert assert_whole(events) == api.snapshot(job["id"])["seq"]


def test_submit_with_an_idempotency_key_is_the_same_job_again(api: Api) -> None:
    command = {"task": "plain", "input": {"words": ["a"]}, "idempotency_key": "ws-once"}
    with Socket(api, "/v1/ws") as connection:
        first = connection.ask("submit", **command)
        again = connection.ask("submit", **command)
        other = connection.ask("submit", **{**command, "input": {"words": ["b"]}})

    by_http = api.post(
        "/v1/jobs",
        json={"task": "plain", "input": {"words": ["a"]}},
        headers={"Idempotency-Key": "ws-once"},
    )
    assert again["job"]["id"] == first["job"]["id"] == by_http.json()["id"]
    assert (other["type"], other["error"]["status"]) == ("error", 409)


def test_a_refused_submit_says_why_and_the_socket_stays_open(api: Api) -> None:
    with Socket(api, "/v1/ws") as connection:
        unknown = connection.ask("submit", task="nonesuch", input={})["error"]
        invalid = connection.ask("submit", task="plain", input={"words": 5})["error"]
        alive = connection.ask("ping")

    assert (unknown["status"], invalid["status"]) == (422, 422)
    assert invalid["errors"][0]["field"] == "input.words"
    assert set(invalid) >= {"type", "title", "status", "detail", "code", "retryable"}
    assert alive["type"] == "ack"


def test_subscribe_starts_behind_after(api: Api) -> None:
    job = api.run("plain", {"words": ["a", "b"]})["id"]

    with Socket(api, "/v1/ws") as connection:
        ack = connection.ask("subscribe", job=job, after=3)
        events = [connection.receive()]
        while events[-1]["type"] not in TERMINAL:
            events.append(connection.receive())

    assert ack["job"]["id"] == job
    assert_whole(events, after=3)


def test_a_shared_socket_stays_open_after_terminal_events(api: Api) -> None:
    one, two = (api.run("plain", {"words": [word]})["id"] for word in ("a", "b"))

    with Socket(api, "/v1/ws") as connection:
        for job in (one, two):
            connection.ask("subscribe", job=job)
            while connection.receive()["type"] not in TERMINAL:
                pass
        assert connection.ask("ping")["type"] == "ack"


def test_after_unsubscribe_nothing_of_that_job_comes(api: Api) -> None:
    job = api.submit("asking")
    api.reach(job, "waiting_for_input")

    with Socket(api, "/v1/ws") as connection:
        connection.ask("subscribe", job=job)
        while connection.receive()["type"] != "input.requested":
            pass
        assert connection.ask("unsubscribe", job=job)["type"] == "ack"
        api.answer(job, {"ok": True})
        api.finish(job)
        after_it = connection.ask("submit", task="plain", input={"words": ["x"]})["job"]["id"]
        assert connection.receive()["job"] == after_it


def test_the_socket_of_a_job_takes_input_and_cancel(api: Api) -> None:
    job = api.submit("listening")

    with Socket(api, f"/v1/jobs/{job}/ws") as connection:
        assert connection.ask("input", data="hello")["type"] == "ack"
        while (event := connection.receive())["type"] != "text.delta":
            pass
        assert event["data"]["text"] == "hello\n"
        assert connection.ask("cancel", reason="enough")["job"]["id"] == job
        end = rest_of(connection)[-1]

    assert (end["type"], end["data"]["reason"]) == ("job.cancelled", "enough")
    assert connection.code == 1000


def test_a_shared_socket_takes_input_and_cancel_of_any_job(api: Api) -> None:
    asked, counted = api.submit("asking"), api.submit("counting")
    api.reach(asked, "waiting_for_input")

    with Socket(api, "/v1/ws") as connection:
        assert connection.ask("input", job=asked, data={"ok": True})["type"] == "ack"
        assert connection.ask("cancel", job=counted)["type"] == "ack"

    assert api.finish(asked)["status"] == "completed"
    assert api.finish(counted)["status"] == "cancelled"


def test_a_wrong_answer_is_an_error_with_the_status_it_has_over_http(api: Api) -> None:
    job = api.submit("asking")
    api.reach(job, "waiting_for_input")

    with Socket(api, "/v1/ws") as connection:
        unfit = connection.ask("input", job=job, data={"ok": "perhaps"})["error"]
        fit = connection.ask("input", job=job, data={"ok": True})
        other = connection.ask("input", job=job, data={"ok": False})["error"]

    assert (unfit["status"], fit["type"], other["status"]) == (422, "ack", 409)


@pytest.mark.parametrize("command", ["subscribe", "cancel", "input"])
def test_an_unknown_job_is_an_error_with_404(api: Api, command: str) -> None:
    with Socket(api, "/v1/ws") as connection:
        answer = connection.ask(command, job=UNKNOWN, data=1)

    assert (answer["type"], answer["error"]["status"]) == ("error", 404)


@pytest.mark.parametrize(
    "text",
    ["nonsense", "[]", "5", '{"ref": 1}', '{"type": 5}', '{"type": "fly"}', "[" * 50_000],
    ids=["no-json", "list", "number", "no-type", "odd-type", "unknown-type", "deep"],
)
def test_what_is_no_command_is_answered_with_an_error(api: Api, text: str) -> None:
    with Socket(api, "/v1/ws") as connection:
        connection.send(text)
        answer = connection.receive()
        assert answer["type"] == "error"
        assert answer["error"]["status"] in (400, 422)
        assert connection.ask("ping")["type"] == "ack"


def test_the_socket_of_a_job_does_not_take_subscribe_or_submit(api: Api) -> None:
    job = api.submit("sleeping")

    with Socket(api, f"/v1/jobs/{job}/ws") as connection:
        assert connection.ask("subscribe", job=job)["type"] == "error"
        assert connection.ask("submit", task="plain", input={"words": []})["type"] == "error"
        connection.ask("cancel")


def test_an_unknown_job_is_404_before_the_upgrade(api: Api) -> None:
    assert refusal(api, f"/v1/jobs/{UNKNOWN}/ws") == 404
    assert refusal(api, "/v1/jobs/nonsense/ws") == 404


def test_a_foreign_origin_is_403_before_the_upgrade(api: Api) -> None:
    job = api.run("plain", {"words": ["a"]})["id"]

    for path in ("/v1/ws", f"/v1/jobs/{job}/ws"):
        assert refusal(api, path, origin="https://evil.example") == 403
        assert refusal(api, path, origin="null") == 403
        Socket(api, path, origin=api.url).close()


def test_too_large_a_message_closes_with_1009(api: Api) -> None:
    with Socket(api, "/v1/ws") as connection:
        connection.send("x" * (2 << 20))
        assert rest_of(connection) == []

    assert connection.code == 1009


def test_a_binary_message_is_taken_or_answered_but_does_not_break_the_socket(api: Api) -> None:
    with Socket(api, "/v1/ws") as connection:
        connection.send_bytes(b"\xff\xfe")
        assert connection.receive()["type"] == "error"
        assert connection.ask("ping")["type"] == "ack"


def test_pings_come_and_a_peer_that_answers_them_stays(brisk: Server) -> None:
    job = brisk.api.submit("asking")
    brisk.api.reach(job, "waiting_for_input")

    with Socket(brisk.api, f"/v1/jobs/{job}/ws") as connection:
        connection.await_pings(5)
        brisk.api.answer(job, {"ok": True})
        assert types_of(rest_of(connection))[-1] == "job.completed"


def test_a_peer_that_does_not_answer_pings_is_closed(brisk: Server) -> None:
    job = brisk.api.submit("asking")
    brisk.api.reach(job, "waiting_for_input")

    with Socket(brisk.api, f"/v1/jobs/{job}/ws", mute=True) as connection:
        rest_of(connection)

        path = f"/v1/jobs/{job}/viewers"  # another process hears of it a moment later
        eventually(lambda: brisk.api.get(path).json()["count"] == 0, "nobody watches")
    assert connection.code is not None
    brisk.api.cancel(job)
