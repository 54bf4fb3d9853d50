"""The tools that MCP's conformance suite calls, as tasks."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, create_model

from streaming import JobContext, TaskError, task

Object = dict[str, Any]


def _ask(ctx: JobContext, message: str, **properties: Object) -> str:
    schema = {"type": "object", "properties": properties, "required": []}
    return f"action=accept, content={ctx.ask(message, schema=schema)}"


@task("test_simple_text", cooperative=True)
def simple_text(ctx: JobContext, input: Object) -> None:
    """Say something."""
    ctx.text("This is a simple text response for testing.")


@task("test_error_handling", cooperative=True)
def error_handling(ctx: JobContext, input: Object) -> None:
    """Fail."""
    raise TaskError("This tool intentionally returns an error for testing")


@task("test_tool_with_progress", cooperative=True)
def with_progress(ctx: JobContext, input: Object) -> None:
    """Say how far it is."""
    for done in (0, 50, 100):
        ctx.progress(done, 100)
        ctx.sleep(0.05)
    ctx.text("done")


class Message(BaseModel):
    message: str


@task("test_elicitation", input=Message, cooperative=True)
def elicitation(ctx: JobContext, input: Message) -> None:
    """Ask for a name and an address."""
    text = {"type": "string"}
    ctx.text("User response: " + _ask(ctx, input.message, username=text, email=text))


@task("test_elicitation_sep1034_defaults", cooperative=True)
def elicitation_defaults(ctx: JobContext, input: Object) -> None:
    """Ask with defaults."""
    said = _ask(
        ctx,
        "Who?",
        name={"type": "string", "default": "John Doe"},
        age={"type": "integer", "default": 30},
        score={"type": "number", "default": 95.5},
        status={
            "type": "string",
            "enum": ["active", "inactive", "pending"],
            "default": "active",
        },
        verified={"type": "boolean", "default": True},
    )
    ctx.text(f"Elicitation completed: {said}")


@task("test_elicitation_sep1330_enums", cooperative=True)
def elicitation_enums(ctx: JobContext, input: Object) -> None:
    """Ask for one and for several of some values."""
    plain = {"type": "string", "enum": ["option1", "option2", "option3"]}
    titled = [{"const": f"value{n}", "title": f"Option {n}"} for n in (1, 2, 3)]
    said = _ask(
        ctx,
        "Which?",
        untitledSingle=plain,
        titledSingle={"type": "string", "oneOf": titled},
        legacyEnum={
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        untitledMulti={"type": "array", "items": plain},
        titledMulti={"type": "array", "items": {"anyOf": titled}},
    )
    ctx.text(f"Elicitation completed: {said}")


@task("test_reconnection", cooperative=True)
def reconnection(ctx: JobContext, input: Object) -> None:
    """Take longer than a stream lives."""
    ctx.sleep(1.5)
    ctx.text("Reconnection test completed successfully")


Address = create_model("address", street=str, city=str)


class Schema(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"$schema": "https://json-schema.org/draft/2020-12/schema"},
    )

    name: str
    address: Address  # type: ignore[valid-type]


@task("json_schema_2020_12_tool", input=Schema, cooperative=True)
def json_schema(ctx: JobContext, input: Schema) -> str:
    """Take an input with what JSON Schema 2020-12 has."""
    return input.name
