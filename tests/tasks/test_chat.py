from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from examples.openai_server import ModelServer
from streaming.concurrency.stop_signal import StopSignal
from streaming.errors import Cancelled, Interrupted, InvalidInput
from streaming.llm.base import Model
from streaming.tasks.chat import chat, remember
from tests.e2e.waiting import eventually
from tests.llm.conftest import Connect, connect, model_server  # noqa: F401 - fixtures
from tests.tasks.conftest import Bench
from tests.threads import Background

Make = Callable[..., Bench]


class Talk:
    """A conversation in a thread."""

    def __init__(self, job: Bench, model: Model | None = None) -> None:
        self.job, self.stop, self.output = job, StopSignal(), None
        self._model = model
        self.ended: BaseException | None = None
        self.thread = Background(self._run)

    def _run(self) -> None:
        try:
            self.output = self.job.run(stop=self.stop, model=self._model)
        except (Cancelled, Interrupted) as error:
            self.ended = error

    def say(self, **said: Any) -> None:
        self.job.feed(said)

    def wait_for(self, turn: int, status: str = "completed") -> str:
        """The text of a turn, once it has a status."""

        def look() -> bool:
            step = self.job.state.steps.get(f"turn-{turn}")
            return step is not None and step["status"] == status

        eventually(look, f"turn {turn} is {status}")
        return self.job.state.text_of(f"turn-{turn}")

    def end(self, reason: BaseException | None = None) -> None:
        self.stop.set(reason or Cancelled())  # type: ignore[arg-type]
        assert self.thread.ends_within(10)


@pytest.fixture
def talk(bench: Make) -> Any:
    talks: list[Talk] = []

    def start(job: Bench | None = None, model: Model | None = None, **input: Any) -> Talk:
        input = {"tokens_per_s": 0, **input}
        talks.append(Talk(job or bench(chat, **input), model))
        return talks[-1]

    yield start
    for each in talks:
        each.end()


def test_each_message_gets_an_answer_of_its_own(talk: Any) -> None:
    chatting = talk(message="Hello")

    first = chatting.wait_for(1)
    chatting.say(message="And you?", by="ann")
    second = chatting.wait_for(2)

    assert first != second != ""
    assert list(chatting.job.state.texts) == ["turn-1", "turn-2"]


def test_an_end_ends_it(talk: Any) -> None:
    chatting = talk(message="Hello")
    chatting.wait_for(1)

    chatting.say(end=True)

    eventually(lambda: chatting.output is not None, "it has ended")
    assert chatting.output == {"turns": 1, "stopped": 0}


def test_silence_ends_it(talk: Any) -> None:
    chatting = talk(idle_s=0.1)

    eventually(lambda: chatting.output is not None, "it has ended")
    assert chatting.output == {"turns": 0, "stopped": 0}


def test_an_answer_is_stopped_in_the_middle_and_a_new_message_goes_on(talk: Any) -> None:
    chatting = talk(message="Tell me everything", tokens_per_s=200)
    eventually(lambda: chatting.job.state.text, "it answers")

    chatting.say(stop=True)
    first = chatting.wait_for(1)
    chatting.say(message="Shorter")
    second = chatting.wait_for(2)
    chatting.say(end=True)

    eventually(lambda: chatting.output is not None, "it has ended")
    assert chatting.output == {"turns": 2, "stopped": 1}
    assert 0 < len(first) < len(second)


@pytest.mark.parametrize("habit", ["mute", "silent", "brooding_long"])
def test_an_answer_is_stopped_while_the_model_is_silent_or_thinks(
    talk: Any,
    model_server: ModelServer,  # noqa: F811
    connect: Connect,  # noqa: F811
    habit: str,
) -> None:
    chatting = talk(message="Hello", model=connect(habit))
    eventually(lambda: model_server.report()["running"] == 1, "the model is asked")
    began = time.monotonic()

    chatting.say(stop=True)

    eventually(lambda: model_server.report()["aborted"] == 1, "the generation is aborted", 2)
    assert time.monotonic() - began < 0.5
    chatting.wait_for(1)
    chatting.say(end=True)
    eventually(lambda: chatting.output is not None, "it has ended")
    assert chatting.output == {"turns": 1, "stopped": 1}


def test_a_turn_that_fails_does_not_end_the_conversation(
    talk: Any,
    model_server: ModelServer,  # noqa: F811
    connect: Connect,  # noqa: F811
) -> None:
    model_server.aliases["m"] = "narrow"
    chatting = talk(message="Hello", model=connect("m"), approval_s=0.05)
    chatting.wait_for(1)
    model_server.aliases["m"] = "eos"

    chatting.say(message="Again")

    assert chatting.wait_for(2)
    assert "context_too_long" in str(chatting.job.data("log"))
    chatting.say(end=True)
    eventually(lambda: chatting.output is not None, "it has ended")
    assert chatting.output == {"turns": 2, "stopped": 0, "failed": 1}


def test_what_others_say_during_an_answer_waits_for_its_turn(talk: Any) -> None:
    chatting = talk(message="First", tokens_per_s=400)
    eventually(lambda: chatting.job.state.text, "it answers")

    for name in ("ann", "bob"):
        chatting.say(message=f"I am {name}", by=name)

    assert chatting.wait_for(3)
    assert list(chatting.job.state.texts) == ["turn-1", "turn-2", "turn-3"]


def test_what_is_published_is_approved_by_a_person(talk: Any) -> None:
    chatting = talk(message="publish: the tide is high")
    eventually(lambda: chatting.job.data("input.requested"), "it asks")
    (asked,) = chatting.job.data("input.requested")
    assert "the tide is high" in asked["prompt"]

    chatting.job.answer(asked["request"], {"approve": True})

    assert chatting.wait_for(1).startswith("Published: /v1/jobs/")
    assert chatting.job.artifact("note-1.md") == b"the tide is high"
    assert chatting.job.data("tool.call")[0]["name"] == "publish"


def test_a_refusal_is_told_to_the_model(talk: Any) -> None:
    chatting = talk(message="publish: gossip")
    eventually(lambda: chatting.job.data("input.requested"), "it asks")

    chatting.job.answer(chatting.job.data("input.requested")[0]["request"], {"approve": False})

    assert chatting.wait_for(1) == "Not published: a person refused it."
    assert chatting.job.state.summary.artifacts == {}


def test_nobody_there_to_approve_is_a_refusal(talk: Any) -> None:
    chatting = talk(message="publish: gossip", approval_s=0.1)

    assert "nobody approved it in time" in chatting.wait_for(1)
    assert chatting.job.state.summary.status == "running"
    assert chatting.job.state.summary.input_request is None


def test_a_conversation_goes_on_after_a_restart(talk: Any) -> None:
    chatting = talk(message="One")
    chatting.wait_for(1)
    chatting.say(message="Two")
    second = chatting.wait_for(2)
    chatting.end(Interrupted())
    assert isinstance(chatting.ended, Interrupted)

    again = talk(job=chatting.job)
    again.say(message="Three")

    assert again.wait_for(3)
    assert again.job.state.text_of("turn-2") == second
    done = [s["id"] for s in again.job.data("step.updated") if s["status"] == "completed"]
    assert done == ["turn-1", "turn-2", "turn-3"]


def test_an_answer_that_a_restart_cut_short_is_given_anew(talk: Any) -> None:
    chatting = talk(tokens_per_s=200)
    chatting.say(message="Tell me everything")
    eventually(lambda: chatting.job.state.text, "it answers")
    chatting.end(Interrupted())

    again = talk(job=chatting.job)

    text = again.wait_for(1)
    resets = [event.seq for event in again.job.events if event.type == "text.reset"]
    deltas = [e for e in again.job.events if e.type == "text.delta" and e.seq > resets[-1]]
    assert text == "".join(event.data["text"] for event in deltas)


def test_a_question_that_was_open_at_a_restart_is_put_again(talk: Any) -> None:
    chatting = talk(message="publish: x")
    eventually(lambda: chatting.job.data("input.requested"), "it asks")
    chatting.end(Interrupted())

    again = talk(job=chatting.job)
    eventually(lambda: len(again.job.data("input.requested")) == 2, "it asks again")
    again.job.answer(again.job.data("input.requested")[1]["request"], {"approve": True})

    assert again.wait_for(1).startswith("Published")


def test_a_stop_aborts_the_generation_at_the_models_server(
    talk: Any,
    connect: Connect,  # noqa: F811
    model_server: ModelServer,  # noqa: F811
) -> None:
    model_server.aliases = {"any": "slow"}
    chatting = talk(model=connect("any"), message="Tell me everything")
    eventually(lambda: chatting.job.state.text, "it answers")

    chatting.say(stop=True)

    chatting.wait_for(1)
    eventually(lambda: model_server.report()["aborted"] == 1, "the generation is aborted")


def test_the_model_is_shown_the_latest_turns_that_fit() -> None:
    turns = [{"said": f"q{n}" * 5000, "by": "", "answer": "a" * 10_000} for n in range(5)]

    shown = remember("be brief", turns)

    assert shown[0] == {"role": "system", "content": "be brief"}
    assert [m["content"][:2] for m in shown[1::2]] == ["q2", "q3", "q4"]


@pytest.mark.parametrize(
    "data",
    [None, "hello", {}, {"message": ""}, {"message": "x", "stop": True}, {"by": "ann"}],
)
def test_what_is_nothing_said_is_refused(data: Any) -> None:
    with pytest.raises(InvalidInput):
        chat.check_fed(data)
