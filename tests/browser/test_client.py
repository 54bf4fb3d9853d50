"""The browser client, in a browser, while nothing goes wrong."""

from __future__ import annotations

import pytest

from tests.browser.watching import Client
from tests.e2e.clients import Api
from tests.e2e.waiting import eventually

TRANSPORTS = ["sse", "websocket", "poll", "ndjson"]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("shared", [False, True], ids=["alone", "shared"])
def test_a_watch_gives_the_whole_log_and_its_fold_is_the_snapshot(
    client: Client, api: Api, transport: str, shared: bool
) -> None:
    job = api.submit("scripted")
    watch = client.watch(job, transport=transport, shared=shared)
    waiting = watch.until("seen.job?.status === 'waiting_for_input'")
    assert waiting["job"] == api.snapshot(job)
    client.run("await streaming.answer(argument, { ok: true })", job)

    seen = watch.finish()

    assert seen["events"] == api.log_of(job)
    assert seen["job"] == api.snapshot(job)
    assert [state["name"] for state in seen["states"]] == ["connecting", "live", "closed"]
    assert (seen["state"]["reason"], seen["state"]["transport"]) == ("ended", transport)
    stats = seen["stats"]
    assert (stats["lost"], stats["repeated"], stats["reconnects"]) == (0, 0, 0)
    assert stats["events"] == len(seen["events"])


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_watch_begins_where_it_is_asked_to(client: Client, api: Api, transport: str) -> None:
    job = api.run("plain", {"words": ["one ", "two "]})
    log = api.log_of(job["id"])

    after = client.watch(job["id"], transport=transport, after=2)
    caught_up = client.watch(job["id"], transport=transport, after=job["seq"])
    snapshot = client.watch(job["id"], transport=transport, **{"from": "snapshot"})
    latest = client.watch(job["id"], transport=transport, **{"from": "latest"})

    assert after.finish()["events"] == log[2:]
    assert caught_up.finish()["events"] == []
    assert snapshot.finish()["job"] == job
    assert latest.finish()["position"] == job["seq"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_watch_with_types_gives_these_and_the_end(
    client: Client, api: Api, transport: str
) -> None:
    job = api.submit("plain", {"words": ["one ", "two "]})

    seen = client.watch(job, transport=transport, types=["text.delta"]).finish()

    kinds = [event["type"] for event in seen["events"]]
    assert kinds == ["text.delta", "text.delta", "job.completed"]
    assert seen["stats"]["lost"] == 0


def test_the_events_can_be_iterated_and_a_slow_loop_holds_no_more_than_its_bound(
    client: Client, api: Api
) -> None:
    job = api.submit("plain", {"words": [f"{number} " for number in range(5000)]})
    api.finish(job)

    seen = client.run(
        """
        const watch = streaming.watch(argument, { transport: "websocket" });
        const seqs = [], ahead = [];
        for await (const { seq } of watch) {
            seqs.push(seq);
            ahead.push(watch.position - seq);
            if (seqs.length % 500 === 0) await new Promise((resolve) => setTimeout(resolve));
        }
        return { seqs, ahead: Math.max(...ahead), repeated: watch.stats.repeated };
        """,
        job,
    )

    assert seen["seqs"] == list(range(1, api.snapshot(job)["seq"] + 1))
    assert seen["ahead"] <= 1500
    assert seen["repeated"] == 0


def test_a_loop_that_is_left_stops_watching(client: Client, api: Api) -> None:
    job = api.submit("sleeping")

    client.run("for await (const event of streaming.watch(argument)) break;", job)

    eventually(lambda: api.get(f"/v1/jobs/{job}/viewers").json()["count"] == 0, "nobody watches")
    api.cancel(job)


def test_commands_of_all_kinds(client: Client, api: Api) -> None:
    seen = client.run(
        """
        const request = { task: "asking", metadata: { from: "page" } };
        const job = await streaming.submit(request, { idempotencyKey: argument });
        const again = await streaming.submit(request, { idempotencyKey: argument });
        const { jobs } = await streaming.jobs({ task: "asking", limit: 1 });
        const tasks = (await streaming.tasks()).map(({ name }) => name);
        const cancelled = await streaming.cancel(job.id, "enough");
        for await (const event of streaming.watch(job.id));
        const ended = await streaming.job(job.id);
        await streaming.remove(job.id);
        const gone = await streaming.job(job.id).catch(({ status, code }) => ({ status, code }));
        return { same: job.id === again.id, listed: jobs[0].id === job.id, tasks,
                 cancelled: cancelled.status, ended: ended.status, gone };
        """,
        "a key of the page's",
    )

    assert seen.pop("cancelled") in ("cancelling", "cancelled")
    assert "generate" in seen.pop("tasks")
    assert seen == {
        "same": True,
        "listed": True,
        "ended": "cancelled",
        "gone": {"status": 404, "code": "job_not_found"},
    }


def test_files_go_up_with_progress_and_come_back(client: Client, api: Api) -> None:
    seen = client.run(
        """
        const progress = [];
        const onProgress = (sent, total) => progress.push([sent, total]);
        const file = new File(["month,sales\\n2024-01,1\\n2024-02,3\\n"], "sales.csv");
        const { id } = await streaming.upload(file, { onProgress });
        const input = { file: id, tokens_per_s: 0 };
        const job = await streaming.submit({ task: "report", input });
        for await (const event of streaming.watch(job.id));
        const made = await streaming.artifact(job.id, "series.json");
        const stopped = new AbortController();
        stopped.abort();
        const { signal } = stopped;
        const { code } = await streaming.upload(file, { signal }).catch((problem) => problem);
        return { progress, type: made.type, size: made.size, code };
        """
    )

    assert seen["progress"]
    assert seen["progress"][-1][0] == seen["progress"][-1][1]
    assert seen["type"].startswith("application/json")
    assert seen["size"] > 0
    assert seen["code"] == "aborted"


def test_a_refusal_is_a_problem_that_names_the_field(client: Client) -> None:
    seen = client.run("await streaming.submit({ task: 'generate', input: {} })")["problem"]

    assert (seen["status"], seen["code"], seen["retryable"]) == (422, "invalid_input", False)
    assert [each["field"] for each in seen["errors"]] == ["input.prompt"]
    assert seen["message"] == seen["detail"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_job_that_there_is_not_closes_the_watch_with_the_problem(
    client: Client, transport: str
) -> None:
    seen = client.watch("job_00000000000000000000000000", transport=transport).finish()

    assert seen["state"]["reason"] == "refused"
    assert seen["state"]["problem"]["code"] == "job_not_found"


@pytest.mark.parametrize("transport", ["sse", "websocket", "poll"])
def test_a_job_that_there_is_not_disturbs_no_other_on_the_same_connection(
    client: Client, api: Api, transport: str
) -> None:
    job = api.submit("asking")
    good = client.watch(job, transport=transport, shared=True)
    bad = client.watch("job_00000000000000000000000000", transport=transport, shared=True)

    assert bad.finish()["state"]["problem"]["code"] == "job_not_found"
    good.until("seen.job?.status === 'waiting_for_input'")
    api.answer(job, {"ok": True})
    assert good.finish()["events"] == api.log_of(job)


def test_what_a_page_throws_does_not_end_its_watch(client: Client, api: Api) -> None:
    job = api.submit("plain", {"words": ["one ", "two "]})

    seen = client.watch(job, then="if (event.seq === 2) throw new Error('mine')").finish()

    assert seen["events"] == api.log_of(job)
    assert client.thrown == ["mine"]
    client.thrown.clear()
