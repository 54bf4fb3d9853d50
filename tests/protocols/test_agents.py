"""OpenAI's Agents SDK, over Responses and over Chat Completions."""

from __future__ import annotations

import asyncio

import agents
import openai
import pytest

from tests.e2e.server import Server


@agents.function_tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


@pytest.mark.parametrize("kind", [agents.OpenAIResponsesModel, agents.OpenAIChatCompletionsModel])
def test_an_agent_uses_its_tools_and_answers(server: Server, kind: type) -> None:
    agents.set_tracing_disabled(True)

    async def ask() -> agents.RunResult:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
            model = kind(model="fluent", openai_client=client)
            agent = agents.Agent(name="A", instructions="Short.", model=model, tools=[weather])
            return await agents.Runner.run(agent, "Paris")

    done = asyncio.run(ask())

    outputs = [item.output for item in done.new_items if item.type == "tool_call_output_item"]
    assert outputs == ["sunny in Paris"]
    assert done.final_output
