"""How the models of `openai_server.py` answer: well, and with the bad habits of real servers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from examples.openai_oddities import ODDITIES

if TYPE_CHECKING:
    from examples.openai_server import Answer

Json = Any


class Gone(Exception):
    """The client has hung up."""


def fluent(answer: Answer) -> None:
    """Answers as it should, and calls the tools that it is offered."""
    answer.delta(role="assistant", content="")
    calls = list(choose_tools(answer.asked))
    if calls:
        call_tools(answer, calls)
    else:
        write(answer)


def write(answer: Answer) -> None:
    for word in answer.words(length(answer.asked)):
        answer.delta(content=word)
    for source in sources(answer.asked):
        answer.delta(content=f" [{source}]")
    answer.finish()


def length(asked: Json) -> int:
    """Tokens of an answer: what was asked for, unless that is only a cap."""
    limit = asked.get("max_completion_tokens") or asked.get("max_tokens") or 40
    return limit if limit <= 2000 else 40


def thinking(answer: Answer) -> None:
    """Thinks aloud before it answers."""
    for word in answer.words(5):
        answer.delta(reasoning_content=word)
    fluent(answer)


def slow(answer: Answer) -> None:
    """Writes two tokens a second, and calls no tools."""
    answer.speed = 2
    write(answer)


def silent(answer: Answer) -> None:
    """Sends signs of life, and never a token."""
    answer.delta(role="assistant", content="")
    while True:
        answer.send(b": ping\n\n")
        answer.wait(0.05)


def mute(answer: Answer) -> None:
    """Takes the question and sends nothing at all."""
    answer.wait(600)


def stalling(answer: Answer) -> None:
    """Writes three tokens, then nothing."""
    for word in answer.words(3):
        answer.delta(content=word)
    answer.wait(600)


def cut(answer: Answer) -> None:
    """Breaks the connection in the middle of a frame."""
    for word in answer.words(3):
        answer.delta(content=word)
    answer.cut(b'data: {"choices":[{"delta":{"content":"bro')


def unfinished(answer: Answer) -> None:
    """Ends in good order, but in the middle of the answer."""
    for word in answer.words(3):
        answer.delta(content=word)
    answer.end()


def failing(answer: Answer) -> None:
    """Sends an error in the middle of the answer."""
    for word in answer.words(3):
        answer.delta(content=word)
    answer.frame({"error": {"message": "the GPU is on fire", "type": "server_error"}})
    answer.end()


def garbled(answer: Answer) -> None:
    """Sends a frame that is no JSON."""
    answer.delta(content="so far ")
    answer.send(b"data: <html>\n\n")
    answer.end()


def split(answer: Answer) -> None:
    """Sends every byte for itself, also those of one character, and ends lines with CR LF."""
    send = answer.send
    answer.send = lambda frame: [  # type: ignore[method-assign,assignment]
        send(bytes([byte])) for byte in frame.replace(b"\n", b"\r\n")
    ]
    for _ in answer.words(3):
        answer.delta(content="größer 世界 🚀 ")
    answer.finish()


def busy(answer: Answer) -> None:
    """Is asked too much, and says so twice before it answers."""
    if answer.number <= 2:
        answer.refuse(429, "slow down", "rate_limit_exceeded", Retry_After="0.2")
    else:
        fluent(answer)


def overrun(answer: Answer) -> None:
    """Is asked too much, always, for the next hour."""
    answer.refuse(429, "come back later", "rate_limit_exceeded", Retry_After="3600")


def swamped(answer: Answer) -> None:
    """Is asked too much, always, for the next five seconds."""
    answer.refuse(429, "come back soon", "rate_limit_exceeded", Retry_After="5")


def closed(answer: Answer) -> None:
    """Is away, always, for the next five seconds."""
    answer.refuse(503, "no healthy upstream", "unavailable", Retry_After="5")


def pausing(answer: Answer) -> None:
    """Is asked too much every other time, for three seconds."""
    if answer.number % 2:
        answer.refuse(429, "come back soon", "rate_limit_exceeded", Retry_After="3")
    else:
        fluent(answer)


def broken(answer: Answer) -> None:
    """Fails with status 500, always."""
    answer.refuse(500, "internal error", "server_error")


def away(answer: Answer) -> None:
    """Is being loaded: 503, always."""
    answer.refuse(503, "loading the model", "unavailable")


def narrow(answer: Answer) -> None:
    """Has no room for the prompt."""
    message = "This model's maximum context length is 16 tokens."
    answer.refuse(400, message, "context_length_exceeded")


def strict(answer: Answer) -> None:
    """Refuses parameters that it does not know, one at a time, as newer models do."""
    for name, said in (
        ("max_tokens", "'max_tokens' is not supported; use 'max_completion_tokens' instead."),
        ("stream_options", "Unknown parameter: 'stream_options'."),
        ("seed", "Extra inputs are not permitted: seed"),
    ):
        if name in answer.asked:
            answer.refuse(400, f"Unsupported parameter: {said}", "unsupported_parameter")
            return
    fluent(answer)


def picky(answer: Answer) -> None:
    """Wants tools with a history that has called some, and ids of nine letters or digits."""
    messages = answer.asked["messages"]
    calls = [call for each in messages for call in each.get("tool_calls") or []]
    if calls and not answer.asked.get("tools"):
        answer.refuse(400, "tools= must be set with tool calls in messages", "bad_request")
    elif any(len(call["id"]) != 9 or not call["id"].isalnum() for call in calls):
        answer.refuse(400, "Tool call id must be a-z, A-Z, 0-9, with a length of 9", "bad_request")
    else:
        answer.nine = True
        fluent(answer)


def breaking(answer: Answer) -> None:
    """Breaks its first answer off, and goes on with one that has begun already."""
    words = [f"{number} " for number in range(12)]
    last = answer.asked["messages"][-1]
    begun = len(last["content"].split()) if last["role"] == "assistant" else 0
    for word in words[begun : 6 if answer.number == 1 else None]:
        answer.say(word)
    if answer.number == 1:
        answer.cut(b'data: {"choices":[{"delta":{"content":"bro')
    else:
        answer.finish()


def counting_on(answer: Answer) -> None:
    """Counts to eleven, from where an answer that has begun already is."""
    words = [f"{number} " for number in range(12)]
    last = answer.asked["messages"][-1]
    for word in words[len(last["content"].split()) if last["role"] == "assistant" else 0 :]:
        answer.say(word)
    answer.finish()


def unwilling(answer: Answer) -> None:
    """Breaks its first answer off, and takes no answer that has begun already."""
    if answer.number == 1:
        answer.say("all at ")
        answer.cut(b"data: {")
    elif answer.asked["messages"][-1]["role"] == "assistant":
        answer.refuse(400, "the last message must have the role user", "invalid_request_error")
    else:
        answer.say("all at once")
        answer.finish()


def choose_tools(asked: Json) -> Iterator[tuple[str, Json]]:
    """Each offered tool once, with the last question as its text; none after its results."""
    messages = asked["messages"]
    if messages[-1]["role"] == "tool":
        return
    question = str(messages[-1]["content"])
    for tool in asked.get("tools") or []:
        function = tool["function"]
        names = function["parameters"].get("required", [])
        yield function["name"], dict.fromkeys(names, question)


def call_tools(answer: Answer, calls: list[tuple[str, Json]]) -> None:
    for index, (name, arguments) in enumerate(calls):
        id = f"c{answer.number:04}{index:04}" if answer.nine else f"call_{answer.number}_{index}"
        head = {"index": index, "id": id, "type": "function"}
        answer.delta(tool_calls=[{**head, "function": {"name": name, "arguments": ""}}])
        text = json.dumps(arguments, ensure_ascii=False)
        for part in (text[: len(text) // 2], text[len(text) // 2 :]):
            answer.delta(tool_calls=[{"index": index, "function": {"arguments": part}}])
    answer.finish("tool_calls")


def sources(asked: Json) -> list[str]:
    """What the results of tools call their sources."""
    found = []
    for message in asked["messages"]:
        if message["role"] == "tool" and '"id"' in str(message["content"]):
            found += [str(each["id"]) for each in json.loads(message["content"])]
    return found


HABITS: dict[str, Callable[[Answer], None]] = {
    each.__name__: each
    for each in (
        fluent, thinking, slow, silent, mute, stalling, cut, unfinished, failing, garbled, split,
        busy, overrun, swamped, closed, pausing, broken, away, narrow, strict, picky, breaking,
        counting_on, unwilling, *ODDITIES,
    )
}  # fmt: skip
