"""The task `generate`: text from the model, token by token."""

from __future__ import annotations

from collections.abc import Generator

from pydantic import BaseModel, ConfigDict, Field

from streaming.running.context import JobContext
from streaming.running.task import task


class GenerateInput(BaseModel):
    """What to write, and how fast the simulated model does it."""

    model_config = ConfigDict(extra="forbid", title="Generate text")

    prompt: str = Field(title="Prompt", description="What the text is to be about", min_length=1)
    max_tokens: int = Field(
        120,
        title="Tokens",
        description="Length of the text, at most; a real model has no default of its own",
        ge=1,
        le=50_000,
    )
    tokens_per_s: float = Field(
        20,
        title="Tokens per second",
        description="Speed of the simulated model; 0 is as fast as possible",
        ge=0,
        le=10_000,
    )
    seed: int = Field(
        0, title="Seed", description="The same prompt, seed and length give the same text"
    )
    fail_after: int | None = Field(
        None,
        title="Fail after",
        description="Tokens after which the simulated model fails; none: it does not",
        ge=0,
    )


#: Tokens of a text that is written while the server is loaded.
BRIEF = 60


def generate_briefly(ctx: JobContext, input: GenerateInput) -> dict[str, str]:
    """The same with a shorter text."""
    brief = input.model_copy(update={"max_tokens": min(input.max_tokens, BRIEF)})
    return {"text": ctx.step("generate", write, ctx, brief)}


@task(
    "generate",
    "Generate text",
    steps=[("generate", "Generate text")],
    input=GenerateInput,
    cooperative=True,  # it only waits for the model
    basic=generate_briefly,
)
def generate(ctx: JobContext, input: GenerateInput) -> dict[str, str]:
    """Write a text, token by token, as the model gives it."""
    return {"text": ctx.step("generate", write, ctx, input)}


def write(ctx: JobContext, input: GenerateInput) -> Generator[str, None, str]:
    """Yield the text, return it whole."""
    text: list[str] = []
    options = input.model_dump(exclude={"prompt"})
    if not ctx.llm.simulated:  # a default is nothing that was asked for
        options = {name: options[name] for name in options if name in input.model_fields_set}
    pace = ctx.llm.pace(**options)
    for number, token in enumerate(ctx.llm.stream(input.prompt, **options), start=1):
        yield token
        text.append(token)
        done, total, estimated = pace(number)
        ctx.progress(done, total, estimated=estimated)
    return "".join(text)
