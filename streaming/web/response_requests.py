"""What requests of OpenAI's Responses refer to: earlier responses, and items of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from streaming.errors import NotFound
from streaming.events.vocabulary import Json, JsonMapping
from streaming.protocols.question import Question, refuse
from streaming.protocols.responses import PREFIX, ResponsesEncoder
from streaming.protocols.responses_request import answer_messages, parse
from streaming.storage.parts import whole_input
from streaming.storage.rows import JobRow
from streaming.web import answers
from streaming.web.services import services

#: The id of an output item: that of its job, and its place.
_ITEM = re.compile(r"(?:msg|rs|fc)_(job_[0-9A-Za-z]+)_[0-9]+")


def parse_body(body: Json) -> Question:
    """The question of a body, with what it refers to of earlier responses."""
    return parse(body, _find_item, _conversation)


def folded(row: JobRow) -> ResponsesEncoder:
    """A job's response as far as its log goes."""
    encoder = ResponsesEncoder(answers.about(row))
    for event in answers.events_of(row.id):
        encoder.take(event)
    return encoder


def _find_item(id: str) -> JsonMapping | None:
    """An output item of one of the asker's responses."""
    found = _ITEM.fullmatch(id)
    if found is None:
        return None
    try:
        row = answers.find_answer(found[1], "")
    except NotFound:
        return None
    output: Json = folded(row).response()["output"]
    return next((item for item in output if item["id"] == id), None)


def _conversation(previous: str) -> Sequence[JsonMapping]:
    """What was said up to the end of an earlier response, without its instructions."""
    try:
        row = answers.find_answer(previous, PREFIX)
    except NotFound as error:
        raise refuse(
            "previous_response_id", "there is no such response", code="previous_response_not_found"
        ) from error
    encoder = folded(row)
    shown: Json = encoder.response()
    if shown["status"] not in ("completed", "incomplete"):
        message = f"that response is {shown['status']}"
        raise refuse("previous_response_id", message, code="previous_response_not_completed")
    said = asked_of(row).get("messages") or []
    if (row.options.get("origin") or {}).get("instructions"):
        said = said[1:]
    return [*said, *answer_messages(shown["output"])]


def asked_of(row: JobRow) -> JsonMapping:
    """The whole input of a job."""
    state = services().snapshots.state(row.id)
    found: JsonMapping = whole_input(services().storage.blobs, state)
    return found
