"""More habits of model servers: how they end, what shapes they send, how they fail and wait."""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from examples.openai_server import Answer

Json = Any


def say(answer: Answer, count: int = 3) -> None:
    for word in answer.words(count):
        answer.delta(content=word)


# -- ends


def erring(answer: Answer) -> None:
    """Ends with the finish reason error, after half of the answer."""
    say(answer)
    answer.finish("error")


def aborting(answer: Answer) -> None:
    """Ends with a finish reason that nobody knows."""
    say(answer)
    answer.finish("abort")


def eos(answer: Answer) -> None:
    """Calls a normal end eos_token."""
    say(answer)
    answer.finish("eos_token")


def capped(answer: Answer) -> None:
    """Ends at its limit."""
    say(answer)
    answer.finish("length")


def brooding(answer: Answer) -> None:
    """Uses up all of its tokens for thinking."""
    for word in answer.words(5):
        answer.delta(reasoning_content=word)
    answer.finish("length")


def brooding_long(answer: Answer) -> None:
    """Thinks for a minute before it says a word."""
    for _ in range(600):
        answer.wait(0.1)
        answer.delta(reasoning_content="hm ")
    answer.finish()


def wordless(answer: Answer) -> None:
    """Ends well without a word."""
    answer.delta(role="assistant", content="")
    answer.finish()


def hollow(answer: Answer) -> None:
    """Begins its answer, and hangs up before the first word."""
    answer.delta(role="assistant", content="")
    answer.cut(b"data: {")


def filtering(answer: Answer) -> None:
    """Stops in the middle because of the content."""
    say(answer)
    answer.finish("content_filter")


def refusing(answer: Answer) -> None:
    """Refuses, in a member of its own."""
    answer.delta(content=None, refusal="I cannot ")
    answer.delta(content=None, refusal="help with that.")
    answer.finish()


def endless(answer: Answer) -> None:
    """Never ends, whatever its limit is."""
    for word in answer.words(200_000):
        answer.delta(content=word)


def undone(answer: Answer) -> None:
    """Forgets the blank line behind [DONE]."""
    say(answer)
    answer.delta(finish="stop")
    answer.send(b"data: [DONE]\n")
    answer.close()


def torn(answer: Answer) -> None:
    """Breaks the connection when all is said."""
    say(answer)
    answer.delta(finish="stop")
    answer.cut(b"data: {")


def muttering(answer: Answer) -> None:
    """Sends nonsense behind its end."""
    say(answer)
    answer.delta(finish="stop")
    answer.send(b"data: <html>\n\n")
    answer.close()


# -- shapes


def parted(answer: Answer) -> None:
    """Sends its text as lists of parts, and its thinking among them."""
    answer.delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}])
    for word in answer.words(3):
        answer.delta(content=[{"type": "text", "text": word}])
    answer.finish()


def nested(answer: Answer) -> None:
    """Sends its text in objects, and null between them."""
    for word in answer.words(3):
        answer.delta(content=None)
        answer.delta(content={"type": "text", "text": word})
    answer.finish()


def numeric(answer: Answer) -> None:
    """Sends a number for text."""
    say(answer)
    answer.delta(content=42)
    answer.finish()


def pictured(answer: Answer) -> None:
    """Sends a picture among its text."""
    answer.delta(content=[{"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}])
    answer.finish()


def tagged(answer: Answer) -> None:
    """Thinks between tags, which are split over deltas."""
    for piece in ("<th", "ink>let me", " see</thi", "nk>\n\n", "It ", "is ", "so."):
        answer.say(piece)
    answer.finish()


def opened(answer: Answer) -> None:
    """Thinks in a tag that its template has opened, and closes it in two deltas."""
    for piece in ("let me", " see</thi", "nk>\n\n", "It ", "is ", "so."):
        answer.say(piece)
    answer.finish()


def halved(answer: Answer) -> None:
    """Sends the halves of a character in two deltas, and one half alone."""
    for piece in ("up \\ud83d", "\\ude80 and ", "half \\ud83d", "!"):
        answer.tokens += 1
        answer.send(b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n' % piece.encode())
    answer.finish()


def returning(answer: Answer) -> None:
    """Ends lines with CR alone, begins with a byte order mark, and sends comments."""
    send, first = answer.send, [b"\xef\xbb\xbf"]

    def with_cr(frame: bytes) -> None:
        mark = first.pop() if first else b""
        send(mark + b": ping\r" + frame.replace(b"\n", b"\r"))

    answer.send = with_cr  # type: ignore[method-assign]
    say(answer)
    answer.finish()


def plain(answer: Answer) -> None:
    """Answers in one piece of JSON, though a stream was asked for."""
    message = {"role": "assistant", "content": "All in one."}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    answer.tokens = 4
    answer.whole({"object": "chat.completion", "choices": [choice], "usage": answer.usage})


# -- failures


def azure(answer: Answer) -> None:
    """Refuses the content with 400, as Azure does."""
    inner = {"code": "ResponsibleAIPolicyViolation"}
    said = "The response was filtered due to the prompt triggering the content management policy."
    error = {"message": said, "code": "content_filter", "status": 400, "innererror": inner}
    answer.whole({"error": error}, 400)


def wrapped(answer: Answer) -> None:
    """Sends an error as JSON, with status 200."""
    answer.whole({"error": {"message": "the backend has left", "type": "server_error"}})


def page(answer: Answer) -> None:
    """Sends a web page with status 200."""
    answer.whole("<html><head><title>Sign in</title></head></html>", kind="text/html")


def lined(answer: Answer) -> None:
    """Sends an error in a line of its own kind, in place of data."""
    said = json.dumps({"code": 500, "message": "out of memory", "type": "server_error"})
    answer.send(b"error: " + said.encode() + b"\n\n")
    answer.close()


def crowded(answer: Answer) -> None:
    """Says in its stream that it is asked too much."""
    error = {"message": "Rate limit reached for requests", "code": "rate_limit_exceeded"}
    answer.frame({"error": error})
    answer.end()


def vanishing(answer: Answer) -> None:
    """Sends an empty body."""
    answer.send(b"\n")
    answer.close()


# -- waiting


def dated(answer: Answer) -> None:
    """Is asked too much once, and names the second from which it is not."""
    if answer.number == 1:
        later = email.utils.formatdate(time.time() + 1, usegmt=True)
        answer.refuse(429, "slow down", "rate_limit_exceeded", Retry_After=later)
    else:
        say(answer)
        answer.finish()


def loading(answer: Answer) -> None:
    """Is loading its model when it is first asked."""
    if answer.number <= 4:
        answer.refuse(503, "Loading model", "unavailable_error")
    else:
        say(answer)
        answer.finish()


def lively(answer: Answer) -> None:
    """Gives signs of life for longer than anybody waits, and then answers."""
    for _ in range(12):
        answer.send(b": keep-alive\n\n")
        answer.wait(0.05)
    say(answer)
    answer.finish()


def counting(answer: Answer) -> None:
    """Counts as it goes along, and then breaks off."""
    for number, word in enumerate(answer.words(3), start=1):
        usage = {"prompt_tokens": 7, "completion_tokens": number * 2}
        choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
        answer.frame({"choices": [choice], "usage": usage})
    answer.cut(b"data: {")


ODDITIES: tuple[Callable[[Answer], None], ...] = (
    erring, aborting, eos, capped, brooding, brooding_long, wordless, hollow, filtering, refusing,
    endless, undone, torn,
    muttering, parted, nested, numeric, pictured, tagged, opened, halved, returning, plain,
    azure, wrapped, page, lined, crowded, vanishing, dated, loading, lively, counting,
)  # fmt: skip
