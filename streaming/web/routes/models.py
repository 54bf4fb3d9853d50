"""What answers, as OpenAI's and Anthropic's clients list it."""

from __future__ import annotations

from flask import Response

from streaming.web.foreign import foreign_blueprint
from streaming.web.json_response import as_json
from streaming.web.models import find_model, listed
from streaming.web.operations import operation

models = foreign_blueprint("models")


@models.get("/models")
@operation("List the models", tag="protocols")
def list_models() -> Response:
    """The upstream models, and the tasks that answer."""
    found = [each.shown() for each in listed()]
    ends = {"first_id": found[0]["id"] if found else None}
    ends["last_id"] = found[-1]["id"] if found else None
    return as_json({"object": "list", "data": found, "has_more": False, **ends})


@models.get("/models/<path:model>")
@operation("Get a model", tag="protocols", more={404: "No such model"})
def get_model(model: str) -> Response:
    return as_json(find_model(model).shown())
