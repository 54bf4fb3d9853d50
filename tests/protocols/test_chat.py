"""OpenAI Chat Completions with OpenAI's own client, and as raw bytes."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import openai
import pytest
import requests

from examples.openai_server import ModelServer
from tests.e2e.server import Server
from tests.e2e.waiting import eventually
from tests.protocols.conftest import NewServer, ends_as, unique

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def client_of(server: Server, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", **options)


def said(text: str) -> Any:
    return [{"role": "user", "content": text}]


def chunks_of(response: requests.Response) -> list[Any]:
    """The data of each frame, parsed; `[DONE]` as it is."""
    lines = [line[6:] for line in response.text.splitlines() if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def test_models_are_listed_and_found(server: Server) -> None:
    client = client_of(server)

    names = [model.id for model in client.models.list()]

    assert names[0] == "fluent"
    assert {"echo", "agent"} <= set(names)
    assert "completion" not in names
    assert client.models.retrieve("echo").owned_by == "task"
    with pytest.raises(openai.NotFoundError) as refused:
        client.models.retrieve("nobody/here")
    assert refused.value.code == "model_not_found"


def test_a_stream_has_the_text_the_end_and_the_usage(server: Server) -> None:
    chunks = list(
        client_of(server).chat.completions.create(
            model="fluent",
            messages=said("hello"),
            max_tokens=7,
            stream=True,
            stream_options={"include_usage": True},
        )
    )

    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert len(text.split(" ")) == 7
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 7
    assert not hasattr(chunks[-1].usage, "estimated")


def test_a_whole_answer_is_that_of_the_job(server: Server) -> None:
    raw = client_of(server).chat.completions.with_raw_response.create(
        model="fluent", messages=said("hello"), max_tokens=5
    )

    answer = raw.parse()
    job = raw.headers["x-job-id"]
    assert answer.id == f"chatcmpl-{job}"
    snapshot = requests.get(f"{server.url}/v1/jobs/{job}", timeout=5).json()
    assert answer.choices[0].message.content == snapshot["text"]
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 5


def test_the_helper_gathers_a_stream(server: Server) -> None:
    with client_of(server).chat.completions.stream(
        model="fluent", messages=said("hello"), max_tokens=5
    ) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()

    assert final.choices[0].finish_reason == "stop"
    assert final.choices[0].message.content


def test_tools_are_called_and_their_results_taken(server: Server) -> None:
    client = client_of(server)
    with client.chat.completions.stream(
        model="fluent",
        messages=said("Paris"),
        tools=[TOOL],  # type: ignore[list-item]
    ) as stream:
        parts = [
            e
            for e in stream
            if e.type == "tool_calls.function.arguments.delta" and e.arguments_delta
        ]
        choice = stream.get_final_completion().choices[0]

    assert len(parts) == 2
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None
    [call] = choice.message.tool_calls
    assert json.loads(call.function.arguments) == {"city": "Paris"}
    answer = client.chat.completions.create(
        model="fluent",
        messages=[
            *said("Paris"),
            choice.message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
        ],
        tools=[TOOL],  # type: ignore[list-item]
    )
    assert answer.choices[0].finish_reason == "stop"


def test_parameters_and_pictures_go_upstream(server: Server, model_server: ModelServer) -> None:
    picture = "data:image/png;base64," + "A" * 300_000
    content = [
        {"type": "text", "text": unique("look")},
        {"type": "image_url", "image_url": {"url": picture}},
    ]

    raw = client_of(server).chat.completions.with_raw_response.create(
        model="slow",
        messages=[{"role": "user", "content": content}],  # type: ignore[typeddict-item]
        max_tokens=1,
        temperature=0.25,
        extra_body={"repetition_penalty": 1.5},
    )

    asked = model_server.answers[-1].asked
    assert asked["model"] == "slow"
    assert asked["temperature"] == 0.25
    assert asked["repetition_penalty"] == 1.5
    assert asked["messages"] == [{"role": "user", "content": content}]
    job = raw.headers["x-job-id"]
    events = requests.get(f"{server.url}/v1/jobs/{job}/poll?wait=0", timeout=5).text
    assert picture not in events
    assert "$blob" in events


def test_a_task_answers_with_its_steps_as_thinking(server: Server) -> None:
    answer = client_of(server).chat.completions.create(model="stepping", messages=said("go"))

    assert answer.choices[0].message.content == "what it found"
    thoughts = answer.choices[0].message.reasoning_content  # type: ignore[attr-defined]
    assert thoughts == "[1/2] Look\n[2/2] Write\n"


def test_a_task_gets_what_its_input_knows_and_nothing_else(server: Server) -> None:
    client = client_of(server)
    shouted = client.chat.completions.create(
        model="echo", messages=said("be loud"), temperature=0.5, extra_body={"shout": True}
    )
    assert shouted.choices[0].message.content == "BE LOUD "

    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="echo", messages=said("x"), extra_body={"depth": 3})
    assert refused.value.param == "depth"
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(
            model="echo", messages=said("x"), extra_body={"shout": "maybe"}
        )
    assert refused.value.param == "shout"


def test_a_task_gets_large_parts_whole(server: Server) -> None:
    text = "ü" * 200_000

    answer = client_of(server).chat.completions.create(model="sized", messages=said(text))

    assert answer.choices[0].message.content == "200000"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "x"}}, "audio"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages.0.content"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_what_cannot_be_done_is_refused_and_named(
    server: Server, body: dict[str, Any], param: str
) -> None:
    asked = {"model": "fluent", "messages": said("x"), **body}
    answer = requests.post(f"{server.url}/v1/chat/completions", json=asked, timeout=10)

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("model", "status"),
    [("narrow", {400}), ("overrun", {429}), ("broken", {500, 503}), ("away", {503})],
)
@pytest.mark.parametrize("stream", [True, False])
def test_an_early_failure_of_the_model_has_its_own_status(
    server: Server, model: str, status: set[int], stream: bool
) -> None:
    asked = {"model": model, "messages": said(unique("x")), "stream": stream}
    answer = requests.post(f"{server.url}/v1/chat/completions", json=asked, timeout=30)

    # A model server that is ill is asked again first; that may take longer than the status line.
    if stream and answer.status_code == 200:
        assert model in ("broken", "away")
        assert chunks_of(answer)[-1]["error"]["code"] in ("upstream_error", "model_unavailable")
    else:
        assert answer.status_code in status
        assert answer.headers["X-Job-Id"]
        if model == "overrun":
            assert answer.headers["Retry-After"] == "3600"


def test_a_late_failure_is_an_error_frame(server: Server) -> None:
    with pytest.raises(openai.APIError, match="fire") as failed:
        list(
            client_of(server).chat.completions.create(
                model="failing", messages=said("x"), stream=True
            )
        )
    assert failed.value.code == "upstream_error"


def test_hanging_up_stops_the_model(server: Server, model_server: ModelServer) -> None:
    with client_of(server).chat.completions.with_streaming_response.create(
        model="stalling", messages=said(unique("x")), stream=True
    ) as response:
        job = response.headers["x-job-id"]
        next(response.iter_lines())

    ends_as(server, job, "cancelled", timeout_s=4)
    eventually(lambda: model_server.answers[-1].state == "aborted", "the model has stopped")


def test_a_hang_up_without_stream_stops_the_model_too(server: Server) -> None:
    asked = {"model": "stalling", "messages": said(unique("x"))}
    with pytest.raises(requests.ReadTimeout):
        requests.post(f"{server.url}/v1/chat/completions", json=asked, timeout=0.5)

    listed = requests.get(f"{server.url}/v1/jobs?limit=1", timeout=5).json()["jobs"]
    ends_as(server, listed[0]["id"], "cancelled", timeout_s=4)


def test_an_answer_may_be_told_to_go_on(server: Server) -> None:
    client = client_of(server)
    with client.chat.completions.with_streaming_response.create(
        model="counting",
        messages=said("150 numbers"),
        stream=True,
        extra_headers={"X-On-Disconnect": "continue"},
    ) as response:
        job = response.headers["x-job-id"]

    assert ends_as(server, job, "completed")["text"].endswith("149 ")


def test_a_cut_stream_goes_on_behind_its_position(server: Server) -> None:
    asked = {
        "model": "counting",
        "messages": said("120 numbers"),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    text, position = "", 0
    with requests.post(
        f"{server.url}/v1/chat/completions", json=asked, stream=True, timeout=10
    ) as response:
        for line in response.iter_lines():
            if line.startswith(b"data: "):
                chunk = json.loads(line[6:])
                text += chunk["choices"][0]["delta"].get("content", "")
                position = chunk["x_position"]
            if len(text) > 50:
                break

    url = f"{server.url}/v1/chat/completions/{chunk['id']}"
    rest = requests.get(f"{url}?stream=true&starting_after={position}", timeout=20)
    chunks = chunks_of(rest)
    text += "".join(c["choices"][0]["delta"].get("content", "") for c in chunks[:-2])

    assert text == "".join(f"{number} " for number in range(120))
    assert chunks[-3]["choices"][0]["finish_reason"] == "stop"
    assert "usage" in chunks[-2]
    assert chunks[-1] == "[DONE]"
    again = requests.get(f"{url}?stream=true&starting_after={chunks[-2]['x_position']}", timeout=5)
    assert again.status_code == 204
    assert requests.get(url, timeout=5).json()["choices"][0]["message"]["content"] == text


@pytest.mark.parametrize("position", ["-1", "x", "999999"])
def test_a_position_that_is_none_is_refused(server: Server, position: str) -> None:
    answer = client_of(server).chat.completions.create(model="echo", messages=said("x"))
    url = f"{server.url}/v1/chat/completions/{answer.id}"

    refused = requests.get(f"{url}?stream=true&starting_after={position}", timeout=5)

    assert refused.status_code == 400
    assert refused.json()["code"] == "bad_position"


def test_cancelling_ends_the_stream_with_an_error(
    server: Server, model_server: ModelServer
) -> None:
    client = client_of(server)
    stream = client.chat.completions.create(
        model="stalling", messages=said(unique("x")), stream=True
    )
    first = next(iter(stream))

    cancelled = requests.post(
        f"{server.url}/v1/chat/completions/{first.id}/cancel", timeout=5
    ).json()

    assert cancelled["id"] == first.id
    eventually(
        lambda: model_server.answers[-1].state == "aborted", "the model has stopped", timeout_s=1
    )
    with pytest.raises(openai.APIError) as failed:
        list(stream)
    assert failed.value.code == "cancelled"


def test_a_retry_joins_the_job_that_nobody_watches(server: Server) -> None:
    url = f"{server.url}/v1/chat/completions"
    asked = {"model": "counting", "messages": said(unique("100 numbers")), "stream": True}
    retry = {"X-Stainless-Retry-Count": "1"}
    with requests.post(url, json=asked, stream=True, timeout=10) as first:
        job = first.headers["X-Job-Id"]
        with requests.post(url, json=asked, stream=True, timeout=10, headers=retry) as watched:
            assert watched.headers["X-Job-Id"] != job
    eventually(
        lambda: requests.get(f"{server.url}/v1/jobs/{job}/viewers", timeout=5).json()["count"] == 0,
        "the first has hung up",
    )

    again = requests.post(url, json=asked, timeout=20, headers=retry)
    other = requests.post(url, json=asked, stream=True, timeout=20, headers=retry)

    assert again.headers["X-Job-Id"] == job
    assert chunks_of(again)[-1] == "[DONE]"
    assert other.headers["X-Job-Id"] != job
    other.close()


def test_an_idempotency_key_joins(server: Server) -> None:
    url = f"{server.url}/v1/chat/completions"
    asked = {"model": "echo", "messages": said("once")}
    key = {"Idempotency-Key": unique("key")}

    first, second = (requests.post(url, json=asked, timeout=10, headers=key) for _ in range(2))

    assert first.headers["X-Job-Id"] == second.headers["X-Job-Id"]
    assert first.json() == second.json()


def test_a_drain_is_told_and_the_answer_is_there_afterwards(new_server: NewServer) -> None:
    server = new_server(STREAMING_DRAIN_S=4).start()
    asked = {"model": "counting", "messages": said("400 numbers"), "stream": True}
    url = f"{server.url}/v1/chat/completions"
    with requests.post(url, json=asked, stream=True, timeout=20) as response:
        lines = response.iter_lines()
        next(lines)
        server.process.terminate()
        frames = [json.loads(line[6:]) for line in lines if line.startswith(b"data: ")]
    error = frames[-1]["error"]
    assert error["code"] == "draining"
    server.wait_until_ended()
    server.start()

    again = f"{url}/chatcmpl-{error['x_job']}"
    resumed = chunks_of(
        requests.get(f"{again}?stream=true&starting_after={error['x_position']}", timeout=20)
    )
    whole = chunks_of(requests.get(f"{again}?stream=true", timeout=20))

    assert resumed[-1]["error"]["code"] == "restarted"
    text = "".join(c["choices"][0]["delta"].get("content", "") for c in whole[:-1])
    assert text == "".join(f"{number} " for number in range(400))
    assert whole[-1] == "[DONE]"


def test_a_killed_server_does_not_count_as_a_hang_up(new_server: NewServer) -> None:
    server = new_server().start()
    asked = {"model": "counting", "messages": said("300 numbers"), "stream": True}
    url = f"{server.url}/v1/chat/completions"
    with requests.post(url, json=asked, stream=True, timeout=20) as response:
        job = response.headers["X-Job-Id"]
        next(response.iter_lines())
        server.kill()
    server.start()
    time.sleep(3)  # longer than the grace, and nobody comes

    text = ends_as(server, job, "completed")["text"]
    assert text == "".join(f"{number} " for number in range(300))


def test_a_key_may_come_as_either_header(new_server: NewServer) -> None:
    server = new_server(STREAMING_API_KEYS="the-key").start()
    url = f"{server.url}/v1/models"

    for headers in ({"Authorization": "Bearer the-key"}, {"x-api-key": "the-key"}):
        assert requests.get(url, headers=headers, timeout=5).status_code == 200
    refused = requests.get(url, headers={"x-api-key": "other"}, timeout=5)
    assert refused.status_code == 401


def test_submissions_that_are_closed_are_closed_here_too(new_server: NewServer) -> None:
    server = new_server(STREAMING_OPEN_SUBMIT=0).start()
    asked = {"model": "fluent", "messages": said("x")}

    refused = requests.post(f"{server.url}/v1/chat/completions", json=asked, timeout=5)

    assert refused.status_code == 403
    assert refused.json()["code"] == "submit_not_open"


def test_files_for_a_purpose_are_not_kept_and_it_says_so(server: Server) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        client_of(server, max_retries=0).files.create(file=("a.txt", b"x"), purpose="user_data")

    assert refused.value.status_code == 501
    assert "purpose" in str(refused.value)


def test_the_keyless_upstream_is_not_the_callers_fault(
    new_server: NewServer, model_server: ModelServer
) -> None:
    model_server.key = "right"
    try:
        server = new_server(STREAMING_LLM_API_KEY="wrong").start()
        asked = {"model": "fluent", "messages": said("x")}
        answer = requests.post(f"{server.url}/v1/chat/completions", json=asked, timeout=20)
    finally:
        model_server.key = ""

    assert answer.status_code == 502
    assert answer.headers["X-Should-Retry"] == "false"


def test_many_answers_are_written_at_once(server: Server, model_server: ModelServer) -> None:
    async def ask(client: openai.AsyncOpenAI, number: int) -> str:
        stream = await client.chat.completions.create(
            model="slow", messages=said(unique(f"x{number}")), max_tokens=4, stream=True
        )
        pieces = [c.choices[0].delta.content or "" async for c in stream if c.choices]
        return "".join(pieces)

    async def ask_all() -> list[str]:
        async with openai.AsyncOpenAI(
            base_url=f"{server.url}/v1", api_key="none", timeout=60, max_retries=0
        ) as client:
            return await asyncio.gather(*(ask(client, number) for number in range(100)))

    began = time.monotonic()
    texts = asyncio.run(ask_all())

    assert [len(text.split()) for text in texts] == [4] * 100
    # Two seconds each; more than there are threads for tasks.
    assert time.monotonic() - began < 60
    last = model_server.answers[-100:]
    eventually(lambda: {each.state for each in last} == {"finished"}, "all answers are written")


def test_a_task_that_says_nothing_of_its_input_takes_what_clients_send(server: Server) -> None:
    asked = {"model": "sized", "messages": said("abc")}

    url = f"{server.url}/v1/chat/completions"
    hints = {"temperature": 0.5, "tools": [], "response_format": {"type": "text"}}

    known = requests.post(url, json={**asked, **hints}, timeout=10)
    unknown = requests.post(url, json={**asked, "colour": "red"}, timeout=10)

    assert known.json()["choices"][0]["message"]["content"] == "3"
    assert (unknown.status_code, unknown.json()["error"]["param"]) == (400, "colour")
