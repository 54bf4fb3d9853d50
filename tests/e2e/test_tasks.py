"""Tasks of every kind, and what comes of them."""

from __future__ import annotations

import pytest

from tests.e2e.clients import Api, Reader
from tests.e2e.reading import assert_ended, assert_whole, of_type, texts

WORDS = ["Grüße, ", "世界 ", "🚀\n"]


@pytest.mark.parametrize(
    "task", ["plain", "generator", "coroutine", "async-generator", "cooperative"]
)
def test_a_task_may_be_written_in_any_of_the_ways(api: Api, task: str) -> None:
    shown = api.run(task, {"words": WORDS})

    log = api.log_of(shown["id"])
    assert shown["status"] == "completed"
    assert [event["data"]["text"] for event in of_type(log, "text.delta")] == WORDS
    assert shown["text"] == "".join(WORDS)
    assert shown["output"] == (None if task == "async-generator" else {"text": shown["text"]})
    assert_ended(log)


def test_many_event_loops_run_beside_each_other(api: Api) -> None:
    jobs = [api.submit("coroutine", {"words": WORDS}) for _ in range(20)]

    for job in jobs:
        assert api.finish(job)["text"] == "".join(WORDS)


def test_more_cooperative_tasks_than_threads_run_at_once(api: Api) -> None:
    jobs = [api.submit("sleeping-cooperative", {"seconds": 0.5}) for _ in range(150)]

    for job in jobs:
        assert api.finish(job)["status"] == "completed"


def test_the_same_prompt_seed_and_length_give_the_same_text(api: Api) -> None:
    input = {"prompt": "growth", "max_tokens": 200, "tokens_per_s": 0, "seed": 7}

    one, same = (api.run("generate", input) for _ in range(2))
    other = api.run("generate", {**input, "seed": 8})

    assert one["text"] == same["text"] == one["output"]["text"]
    assert other["text"] != one["text"]


def test_a_generated_text_is_as_long_as_was_asked(api: Api) -> None:
    for count in (1, 120, 500):
        input = {"prompt": "x", "max_tokens": count, "tokens_per_s": 0}
        shown = api.run("generate", input)
        assert shown["usage"]["completion_tokens"] == count


def test_a_fast_job_is_the_same_text_for_every_reader(api: Api, read: Reader) -> None:
    input = {"prompt": "x", "max_tokens": 500, "tokens_per_s": 0}
    job = api.submit("generate", input)

    events = list(read(api, job))

    shown = api.snapshot(job)
    assert "".join(texts(events).values()) == shown["text"] == shown["output"]["text"]
    assert assert_whole(events) == shown["seq"]


def test_progress_never_falls_and_says_what_it_is_based_on(api: Api) -> None:
    input = {"prompt": "x", "max_tokens": 300, "tokens_per_s": 300}
    job = api.submit("generate", input)
    api.finish(job)

    told = [event["data"] for event in of_type(api.log_of(job), "job.progress")]

    percents = [each["percent"] for each in told]
    assert percents == sorted(percents)
    assert (percents[-1], len(percents) > 2) == (100, True)
    assert {each["basis"] for each in told} <= {"measured", "estimated"}
    assert all(each["eta_s"] is None or each["eta_s"] >= 0 for each in told)
