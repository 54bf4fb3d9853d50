"""A task as people bring it: it iterates their SDK, and knows nothing of this service."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from streaming import JobContext, task


@task("road")
def road(ctx: JobContext, input: dict[str, Any]) -> Iterator[str]:
    """Pass on what the model writes, in a thread of a task host."""
    from openai import OpenAI

    with OpenAI(api_key="x", base_url=os.environ["MODEL_URL"], max_retries=0) as client:
        for chunk in client.chat.completions.create(
            model="m",
            messages=[{"role": "user", "content": input["prompt"]}],
            max_tokens=input["max_tokens"],
            stream=True,
        ):
            if chunk.choices and (text := chunk.choices[0].delta.content):
                yield text
