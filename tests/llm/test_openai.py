"""Real models: against a server that has the habits of real ones."""

from __future__ import annotations

import logging
import re
import socket
import threading
import time
from dataclasses import replace

import pytest

from examples.openai_server import HABITS, ModelServer
from streaming.concurrency.stop_signal import StopSignal
from streaming.concurrency.threads import Thread
from streaming.errors import Cancelled, TaskError
from streaming.events.problem import problem
from streaming.llm.base import Answering, Ending, Piece, Prompt, Reasoning, ToolCall, Usage
from streaming.llm.openai import BREAK_AFTER, OpenAIModel
from streaming.llm.server import Patience
from tests.e2e.waiting import eventually
from tests.llm.conftest import KEY, Connect

ASKED = Prompt("Why do logs help?", max_tokens=8)


def ask(model: OpenAIModel, prompt: Prompt = ASKED, stop: StopSignal | None = None) -> list[Piece]:
    return list(model.stream(prompt, stop or StopSignal()))


def text_of(pieces: list[Piece]) -> str:
    return "".join(piece for piece in pieces if isinstance(piece, str))


def failure_of(model: OpenAIModel, prompt: Prompt = ASKED) -> TaskError:
    with pytest.raises(TaskError) as failed:
        ask(model, prompt)
    return failed.value


def test_an_answer_comes_in_pieces_with_its_usage(connect: Connect) -> None:
    pieces = ask(connect("fluent"))

    assert pieces[0] == Answering("fluent", degraded=False)
    assert len([piece for piece in pieces if isinstance(piece, str)]) == 8
    assert pieces[-2:] == [Usage(prompt_tokens=4, completion_tokens=8), Ending("stop")]


def test_thinking_is_kept_apart_from_the_answer(connect: Connect) -> None:
    pieces = ask(connect("thinking"))

    assert len([piece for piece in pieces if isinstance(piece, Reasoning)]) == 5
    assert len([piece for piece in pieces if isinstance(piece, str)]) == 8


@pytest.mark.parametrize("named", [["opened"], ["*"]], ids=str)
def test_a_model_that_is_said_to_begin_with_thinking_does(
    model_server: ModelServer, named: list[str]
) -> None:
    model = OpenAIModel(model_server.url, ["opened"], key=KEY, thinks_first=named)

    pieces = ask(model)

    assert "".join(each.text for each in pieces if isinstance(each, Reasoning)) == "let me see"
    assert text_of(pieces) == "It is so."
    # What goes on behind words that have been said has been thought already.
    rest = ask(model, replace(ASKED, so_far="And "))
    assert text_of(rest) == "let me see</think>\n\nIt is so."


def test_the_parts_of_a_tool_call_become_one(connect: Connect) -> None:
    parameters = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
    tool = {"type": "function", "function": {"name": "search", "parameters": parameters}}

    pieces = ask(connect("fluent"), Prompt("größer?", tools=(tool, tool)))

    calls = [piece for piece in pieces if isinstance(piece, ToolCall)]
    assert [(call.name, call.parsed()) for call in calls] == [("search", {"q": "größer?"})] * 2
    assert len({call.id for call in calls}) == 2


def test_characters_split_between_chunks_are_whole(connect: Connect) -> None:
    assert text_of(ask(connect("split"))) == "größer 世界 🚀 " * 3


def test_two_answers_differ(connect: Connect) -> None:
    model = connect("fluent")

    assert text_of(ask(model, Prompt("x"))) != text_of(ask(model, Prompt("x")))


@pytest.mark.parametrize(
    ("habit", "code", "retryable", "tries"),
    [
        ("cut", "upstream_error", True, 1),
        ("unfinished", "upstream_error", True, 1),
        ("failing", "upstream_error", True, 1),
        ("garbled", "upstream_error", True, 1),
        ("broken", "upstream_error", True, 3),
        ("overrun", "rate_limited", True, 1),
        ("narrow", "context_too_long", False, 1),
        ("unknown", "model_unavailable", False, 1),
    ],
)
def test_a_failure_has_a_code_and_is_tried_again_only_before_the_first_token(
    connect: Connect,
    model_server: ModelServer,
    habit: str,
    code: str,
    retryable: bool,
    tries: int,
) -> None:
    error = failure_of(connect(habit))

    assert (error.code, error.retryable) == (code, retryable)
    assert len(model_server.answers) == tries


def test_what_came_before_a_failure_in_the_middle_is_given(connect: Connect) -> None:
    answer = connect("failing").stream(ASKED, StopSignal())

    pieces = [next(answer) for _ in range(4)]  # which of them answers, and three tokens

    assert len(text_of(pieces).split()) == 3
    with pytest.raises(TaskError, match="GPU is on fire"):
        next(answer)


def test_a_busy_server_is_asked_again_when_it_says_so(
    connect: Connect, model_server: ModelServer
) -> None:
    began = time.monotonic()

    assert text_of(ask(connect("busy")))

    assert len(model_server.answers) == 3
    assert time.monotonic() - began > 0.4


def test_a_busy_server_is_not_waited_for_beyond_the_time_that_the_question_has(
    connect: Connect, model_server: ModelServer
) -> None:
    error = failure_of(connect("busy"), replace(ASKED, wait_s=0.3))  # twice 0.2 s

    assert (error.code, error.extra["retry_after_s"]) == ("rate_limited", 0.2)
    assert len(model_server.answers) == 2


def test_all_tries_at_a_failing_server_fit_into_the_time_that_the_question_has(
    connect: Connect, model_server: ModelServer
) -> None:
    began = time.monotonic()

    failure_of(
        connect("broken", retry_s=0.5), replace(ASKED, wait_s=0.5)
    )  # without: 1.5 s and more

    assert len(model_server.answers) == 3
    assert time.monotonic() - began < 1.4


def test_the_stand_in_of_a_busy_model_is_asked_where_there_is_no_time_to_wait(
    connect: Connect, model_server: ModelServer
) -> None:
    assert text_of(ask(connect("swamped", "fluent"), replace(ASKED, wait_s=2.0)))

    assert [each.model for each in model_server.answers] == ["swamped", "fluent"]


def test_a_server_that_loads_its_model_is_asked_for_as_long_as_that_may_take(
    connect: Connect, model_server: ModelServer
) -> None:
    began = time.monotonic()

    error = failure_of(connect("away", loading_s=0.5))

    assert (error.code, error.extra["upstream_status"]) == ("model_unavailable", 503)
    assert time.monotonic() - began >= 0.5
    assert len(model_server.answers) > 3


def test_a_model_that_is_not_there_fails_before_any_piece() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        model = OpenAIModel(url, ["any"], patience=Patience(retry_s=0.02))

        with pytest.raises(TaskError) as failed:
            next(iter(model.stream(ASKED, StopSignal())))

    assert failed.value.code == "model_unavailable"
    assert problem(failed.value)["status"] == 503


def test_a_name_without_an_address_is_not_there() -> None:
    patience = Patience(retry_s=0.02)
    error = failure_of(OpenAIModel("http://nowhere.invalid/v1", ["any"], patience=patience))

    assert (error.code, "nowhere.invalid" in error.detail) == ("model_unavailable", True)


@pytest.mark.parametrize("habit", ["silent", "mute"])
def test_a_first_token_that_does_not_come_is_not_waited_for_again(
    connect: Connect, model_server: ModelServer, habit: str
) -> None:
    error = failure_of(connect(habit, first_token_s=0.1, signs=3))

    assert error.code == "model_unavailable"
    assert len(model_server.answers) == 1
    eventually(lambda: model_server.report()["aborted"] == 1, "the generation was aborted")


def test_a_pause_between_tokens_that_is_too_long_is_a_failure(connect: Connect) -> None:
    error = failure_of(connect("stalling", token_s=0.3))

    assert error.code == "upstream_error"


@pytest.mark.parametrize("habit", ["silent", "mute", "stalling", "slow"])
def test_a_stop_aborts_the_generation_at_once(
    connect: Connect, model_server: ModelServer, habit: str
) -> None:
    stop, ended = StopSignal(), threading.Event()
    model = connect(habit)
    caught: list[BaseException] = []

    def read() -> None:
        try:
            ask(model, stop=stop)
        except BaseException as error:  # noqa: BLE001 - it is looked at below
            caught.append(error)
        ended.set()

    reader = Thread(read, name="reader").start()
    eventually(lambda: model_server.report()["running"] == 1, "the model has been asked")
    began = time.monotonic()
    stop.set(Cancelled("enough"))

    assert ended.wait(5)
    eventually(lambda: model_server.report()["aborted"] == 1, "the generation was aborted")
    assert time.monotonic() - began < 0.5
    assert [type(error) for error in caught] == [Cancelled]
    assert reader.join(5)


def test_a_stop_ends_the_wait_for_a_connection() -> None:
    with full_listener() as port:
        stop, ended = StopSignal(), threading.Event()
        model = OpenAIModel(f"http://127.0.0.1:{port}/v1", ["any"])

        def read() -> None:
            with pytest.raises(Cancelled):
                ask(model, stop=stop)
            ended.set()

        thread = Thread(read, name="reader").start()
        assert not ended.wait(0.3)
        stop.set(Cancelled())

        assert ended.wait(1)
        assert thread.join(5)


def test_a_stop_ends_the_wait_for_another_try(connect: Connect, model_server: ModelServer) -> None:
    stop, ended = StopSignal(), threading.Event()
    model = connect("away", retry_s=30, loading_s=30)

    def read() -> None:
        with pytest.raises(Cancelled):
            ask(model, stop=stop)
        ended.set()

    Thread(read, name="reader").start()
    eventually(lambda: model_server.report()["finished"], "the model has refused")
    stop.set(Cancelled())

    assert ended.wait(0.5)


def test_a_reader_who_stops_reading_aborts_the_generation(
    connect: Connect, model_server: ModelServer
) -> None:
    answer = connect("stalling").stream(ASKED, StopSignal())
    pieces = [next(answer), next(answer)]

    answer.close()  # type: ignore[attr-defined]

    assert text_of(pieces)
    eventually(lambda: model_server.report()["aborted"] == 1, "the generation was aborted")


def test_the_next_model_answers_when_the_first_cannot(connect: Connect) -> None:
    pieces = ask(connect("away", "fluent"))

    assert pieces[0] == Answering("fluent", degraded=True)
    assert len(text_of(pieces).split()) == 8


def test_no_other_model_is_asked_when_the_prompt_is_at_fault(
    connect: Connect, model_server: ModelServer
) -> None:
    assert failure_of(connect("narrow", "fluent")).code == "context_too_long"
    assert len(model_server.answers) == 1


def test_no_other_model_goes_on_with_a_text_that_has_begun(connect: Connect) -> None:
    assert failure_of(connect("cut", "fluent")).code == "upstream_error"


def test_a_model_that_keeps_failing_is_left_alone(
    connect: Connect, model_server: ModelServer
) -> None:
    model = connect("broken")
    for _ in range(BREAK_AFTER):
        failure_of(model)
    asked = len(model_server.answers)

    error = failure_of(model)

    assert len(model_server.answers) == asked
    assert (error.code, error.extra["retry_after_s"] > 0) == ("model_unavailable", True)
    with pytest.raises(TaskError):
        model.check(StopSignal())


def test_cancels_do_not_count_against_a_model(connect: Connect, model_server: ModelServer) -> None:
    model = connect("fluent")
    for _ in range(BREAK_AFTER + 1):
        stop = StopSignal()
        stop.set(Cancelled())
        with pytest.raises(Cancelled):
            ask(model, stop=stop)

    assert text_of(ask(model))


def test_a_check_asks_for_no_answer(connect: Connect, model_server: ModelServer) -> None:
    connect("fluent").check(StopSignal())

    assert model_server.answers == []


def test_a_check_of_a_server_that_is_not_there_fails() -> None:
    with full_listener() as port:
        patience = Patience(connect_s=0.1, retry_s=0.02)
        model = OpenAIModel(f"http://127.0.0.1:{port}/v1", ["any"], patience=patience)
        with pytest.raises(TaskError) as failed:
            model.check(StopSignal())

    assert failed.value.code == "model_unavailable"


def test_the_key_is_sent_and_shows_nowhere(
    connect: Connect, model_server: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    assert text_of(ask(connect("fluent")))
    model_server.key = "another"

    error = failure_of(connect("fluent"))

    assert error.code == "model_unavailable"
    assert KEY not in str(problem(error)) + caplog.text


def test_a_word_in_place_of_a_key_stays_in_what_is_said(
    connect: Connect, model_server: ModelServer
) -> None:
    model_server.key = "another"

    error = failure_of(connect("fluent", key="e"))

    assert "Incorrect API key provided: e" in error.detail


def test_a_key_in_a_netrc_file_does_not_replace_ours(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    file = f"{tmp_path}/netrc"
    with open(file, "w") as netrc:
        netrc.write("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", file)

    assert text_of(ask(connect("fluent")))


def test_an_answer_goes_through_a_proxy(
    connect: Connect, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = f"http://127.0.0.1:{model_server.server_address[1]}"
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.setenv("no_proxy", "")

    assert text_of(ask(OpenAIModel("http://models.invalid/v1", ["fluent"], key=KEY)))


def test_every_habit_is_described() -> None:
    assert all(re.fullmatch(r"[A-Z].*\.", str(habit.__doc__)) for habit in HABITS.values())


class full_listener:
    """A port that takes no more connections: to connect there hangs."""

    def __enter__(self) -> int:
        self._sockets = [socket.socket()]
        self._sockets[0].bind(("127.0.0.1", 0))
        self._sockets[0].listen(0)
        address = self._sockets[0].getsockname()
        for _ in range(3):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(address)
            self._sockets.append(client)
        return address[1]

    def __exit__(self, *_: object) -> None:
        for each in self._sockets:
            each.close()
