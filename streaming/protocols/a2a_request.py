"""Requests of A2A's clients: a message as a question, or as the answer to one."""

from __future__ import annotations

from streaming.events.event import dumps
from streaming.events.vocabulary import Json, JsonMapping, JsonObject
from streaming.protocols.a2a import A2aError
from streaming.protocols.question import Question

#: Characters of a context's id.
ID_LENGTH = 200


def message_of(params: Json) -> JsonMapping:
    """The message of a request, with parts in it."""
    message = params.get("message") if isinstance(params, dict) else None
    if not isinstance(message, dict):
        raise A2aError("INVALID_PARAMS", "message: a JSON object")
    parts = message.get("parts")
    if not isinstance(parts, list) or not parts or not all(isinstance(p, dict) for p in parts):
        raise A2aError("INVALID_PARAMS", "message.parts: a list of at least one part")
    for at, part in enumerate(parts):
        if not isinstance(part.get("text", ""), str):
            raise A2aError("INVALID_PARAMS", f"message.parts.{at}.text: a string")
    return message


def parse(params: JsonMapping, *, stream: bool) -> Question:
    """The question of a message that begins a task."""
    message = message_of(params)
    context = message.get("contextId")
    if context is not None and (not isinstance(context, str) or len(context) > ID_LENGTH):
        raise A2aError("INVALID_PARAMS", f"message.contextId: at most {ID_LENGTH} characters")
    content = [_content(part) for part in message["parts"]]
    plain = all(part["type"] == "text" for part in content)
    said = "\n".join(part["text"] for part in content) if plain else content
    return Question(
        model=_skill(params, message),
        messages=[{"role": "user", "content": said}],
        stream=stream,
        goes_on=True,
        origin={"context": context} if context else {},
    )


def _skill(params: JsonMapping, message: JsonMapping) -> str:
    for metadata in (message.get("metadata"), params.get("metadata")):
        for name in ("skill", "model"):
            if isinstance(metadata, dict) and metadata.get(name):
                return str(metadata[name])
    return ""


def _content(part: JsonMapping) -> JsonObject:
    if "text" in part:
        return {"type": "text", "text": part["text"]}
    if "data" in part:
        return {"type": "text", "text": dumps(part["data"]).decode()}
    kind = str(part.get("mediaType") or "")
    url = part.get("url")
    if part.get("raw"):
        url = f"data:{kind or 'application/octet-stream'};base64,{part['raw']}"
    if not isinstance(url, str):
        raise A2aError("INVALID_PARAMS", "a part has text, data, url or raw")
    if kind.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": url}}
    name = str(part.get("filename") or "file")
    return {"type": "file", "file": {"filename": name, "file_data": url}}


def answer_in(message: JsonMapping, schema: Json) -> Json:
    """What a message answers to a question: its data, or else its text.

    Text is the answer where text is asked for; of a form with one field, that field's.
    """
    for part in message["parts"]:
        if "data" in part:
            return part["data"]
    text = "\n".join(part.get("text", "") for part in message["parts"])
    if isinstance(schema, dict) and schema.get("type") == "object":
        names = list(schema.get("properties") or {})
        if len(names) == 1:
            return {names[0]: text}
    return text
