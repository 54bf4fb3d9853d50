"""An MCP client that has the assistant answer: python mcp_client.py "What is a lease?"."""

import asyncio
import os
import sys

import mcp

URL = os.environ.get("STREAMING_URL", "http://127.0.0.1:8000")
#: Of the simulated model, in tokens per second: slow enough to be watched.
SPEED = float(os.environ.get("TOKENS_PER_S", "3"))


async def tell(progress: float, total: float | None = None, message: str | None = None) -> None:
    print(f"{progress:5.1f} %  {message or ''}", flush=True)


async def main(question: str) -> None:
    async with mcp.Client(f"{URL}/mcp") as client:
        asked = {"question": question, "tokens_per_s": SPEED}
        result = await client.call_tool("agent", asked, progress_callback=tell)
    for part in result.content:
        print(part.text if part.type == "text" else part)


asyncio.run(main(sys.argv[1]))
