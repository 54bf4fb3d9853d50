"""MCP's own conformance suite, on tasks that have the names of its tools."""

from __future__ import annotations

from collections.abc import Callable

from tests.protocols.conftest import NewServer

SUITE = "node_modules/@modelcontextprotocol/conformance/dist/index.js"
TASKS = "tests.protocols.conformance_tasks"


def test_what_is_offered_passes_the_suite_of_mcp(
    new_server: NewServer, run_script: Callable[..., str]
) -> None:
    """The suite fails also where something passes that conformance.yml says is not offered."""
    url = f"{new_server(STREAMING_TASKS=TASKS).start().url}/mcp"
    options = ["--suite", "all", "--expected-failures", "conformance.yml"]

    printed = run_script(SUITE, "server", "--url", url, *options, timeout_s=120)

    assert "json-schema-2020-12: 4 passed, 0 failed" in printed
    assert "server-sse-polling: 2 passed, 0 failed" in printed
