"""What each route takes and answers, said once: for validation and for the OpenAPI document."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import ParamSpec, TypeVar

from apispec import APISpec
from flask import Flask, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.json_schema import models_json_schema

from streaming.events.vocabulary import JsonObject
from streaming.running.task import invalid_input

M = TypeVar("M", bound=BaseModel)
P = ParamSpec("P")
View = TypeVar("View", bound=Callable[..., object])

#: What every route may answer besides its success.
_PROBLEMS = {
    400: "Malformed request or position",
    401: "No valid API key or ticket",
    403: "Not allowed",
    429: "Over a rate or a quota",
    503: "Shutting down, overloaded, or storage is away",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One route, as the document describes it."""

    summary: str
    _: KW_ONLY
    tag: str
    #: The view's docstring.
    description: str = ""
    #: What the caller must be allowed, of `principal.SCOPES`.
    scope: str = "read"
    #: Whether a ticket for the job is enough.
    takes_ticket: bool = False
    status: int = 200
    answers: type[BaseModel] | None = None
    media_type: str = "application/json"
    query: Sequence[type[BaseModel]] = ()
    headers: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    body_type: str = "application/json"
    needs_body: bool = True
    #: More statuses that it may answer, with what they mean.
    more: Mapping[int, str] = field(default_factory=dict)
    #: The media type of its errors.
    problem_type: str = "application/problem+json"
    #: Whether its answer may be a stream of events, too.
    may_stream: bool = False

    @property
    def streams(self) -> bool:
        """Whether the answer is a stream."""
        return self.status == 101 or self.media_type == "text/event-stream"


class Problem(BaseModel):
    """An error (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    instance: str | None
    code: str
    retryable: bool
    error: JsonObject = Field(description="message, type, code, param: as OpenAI clients read it")
    errors: list[JsonObject] = Field(default=[], description="field and message of each")


def _decorator(make: Callable[P, Operation]) -> Callable[P, Callable[[View], View]]:
    def describe(*args: P.args, **kwargs: P.kwargs) -> Callable[[View], View]:
        made = make(*args, **kwargs)

        def decorate(view: View) -> View:
            description = inspect.getdoc(view) or ""
            view.__dict__["streaming_operation"] = replace(made, description=description)
            return view

        return decorate

    return describe


#: Describes a view, as an `Operation` with these members; its docstring is the description.
operation = _decorator(Operation)


def operation_of(app: Flask, endpoint: str) -> Operation:
    """How the endpoint's view is described; every view that needs rights is."""
    found: Operation = app.view_functions[endpoint].__dict__["streaming_operation"]
    return found


def parse_query(model: type[M]) -> M:
    """The query as the model has it; `InvalidInput` names each bad parameter."""
    given = {name: request.args[name] for name in model.model_fields if name in request.args}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise invalid_input(error) from None


def openapi(app: Flask, *, title: str, version: str) -> JsonObject:
    """The OpenAPI document of all described routes of an app."""
    spec = APISpec(title=title, version=version, openapi_version="3.1.0")
    spec.components.security_scheme("key", {"type": "http", "scheme": "bearer"})
    spec.components.security_scheme("ticket", {"type": "apiKey", "in": "query", "name": "ticket"})
    found = _operations(app)
    models = {model for _, _, each in found for model in _models(each)} | {Problem}
    _, schemas = models_json_schema(
        [(model, "validation") for model in sorted(models, key=lambda model: model.__name__)],
        ref_template="#/components/schemas/{model}",
    )
    for name, schema in schemas.get("$defs", {}).items():
        spec.components.schema(name, schema)
    for path, method, each in found:
        spec.path(path, operations={method: _document(path, method, each)})
    document: JsonObject = spec.to_dict()
    return {**document, "security": [{"key": []}, {}]}


def _operations(app: Flask) -> list[tuple[str, str, Operation]]:
    found = []
    for rule in app.url_map.iter_rules():
        described = getattr(app.view_functions[rule.endpoint], "streaming_operation", None)
        if described is not None:
            path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
            methods = (rule.methods or {"GET"}) - {"HEAD", "OPTIONS"}
            found += [(path, method.lower(), described) for method in methods]
    return sorted(found, key=lambda each: each[:2])


def _models(each: Operation) -> Iterable[type[BaseModel]]:
    return filter(None, (each.answers, each.body, each.headers, *each.query))


def _document(path: str, method: str, each: Operation) -> JsonObject:
    answer: JsonObject = {"description": each.summary}
    if each.answers is not None:
        answer["content"] = {each.media_type: {"schema": _ref(each.answers)}}
    elif each.status not in (204, 101):
        answer["content"] = {each.media_type: {}}
    if each.may_stream:
        answer["content"]["text/event-stream"] = {}
    problems = {**_PROBLEMS, **each.more}
    if "{job}" in path:
        problems |= {404: "No such job", 410: "The job was removed by retention"}
    document: JsonObject = {
        "summary": each.summary,
        "description": each.description,
        "operationId": f"{method}_{re.sub(r'[^a-z0-9]+', '_', path.lower()).strip('_')}",
        "tags": [each.tag],
        "parameters": list(_parameters(path, each)),
        "responses": {
            str(each.status): answer,
            **{
                str(status): _problem(status, meaning, each.problem_type)
                for status, meaning in problems.items()
            },
        },
    }
    rights: list[dict[str, list[str]]] = [{"key": [each.scope]}, {}]
    if each.takes_ticket:
        rights.insert(1, {"ticket": []})
    document["security"] = rights
    if each.body is not None:
        content = {each.body_type: {"schema": _ref(each.body)}}
        document["requestBody"] = {"content": content, "required": each.needs_body}
    return document


def _parameters(path: str, each: Operation) -> Iterable[JsonObject]:
    for name in re.findall(r"{(\w+)}", path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
    places = [("query", model) for model in each.query]
    if each.headers is not None:
        places.append(("header", each.headers))
    for place, model in places:
        described = model.model_json_schema()
        for name, schema in described["properties"].items():
            required = name in described.get("required", ())
            yield {"name": name, "in": place, "required": required, "schema": schema}


def _problem(status: int, meaning: str, media_type: str) -> JsonObject:
    if status < 400:
        return {"description": meaning}
    # Of another type it is another protocol's own.
    schema = {"schema": _ref(Problem)} if "problem" in media_type else {}
    content = {media_type: schema}
    return {"description": meaning, "content": content}


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
