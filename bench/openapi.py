"""Requests made from the OpenAPI document, valid and not: no 500, no answer that is not listed.

schemathesis makes thousands of cases and checks each answer: status, media type, headers, body,
and whether bad requests are refused and good ones taken. Exit status 0 only when all held.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from examples.openai_server import ModelServer
from tests.e2e.server import Server

#: Seconds that an answer may take; streams are closed before.
ANSWER_S, STREAM_S = 20, 1.0
CONFIG = Path(__file__).with_suffix(".toml")


def attack(server: Server, *, examples: int, seed: int) -> subprocess.CompletedProcess[str]:
    """Try every operation but the WebSockets (test_websocket.py does); what schemathesis said."""
    options = {
        "--url": server.url,
        "--max-examples": examples,
        "--request-timeout": ANSWER_S,
        "--exclude-path-regex": "/ws$",
        "--exclude-name": "GET /v1/ui/chat",
        # In threads, Python 3.11 fails to parse what hypothesis asks it to.
        "--workers": 1,
        "--seed": seed,
    }
    given = [str(part) for pair in options.items() for part in pair]
    tool = Path(sys.executable).with_name("schemathesis")
    config = ["--config-file", str(CONFIG)]
    return subprocess.run(
        [tool, *config, "run", f"{server.url}/openapi.json", *given, "--continue-on-failure"],
        capture_output=True,
        text=True,
        check=False,
        cwd=CONFIG.parent.parent,
    )


def make_server(folder: Path) -> Server:
    """One whose streams end soon, and whose model answers at once."""
    model = ModelServer(tokens_per_s=0)
    threading.Thread(target=model.serve_forever, daemon=True).start()
    return Server(
        folder,
        "gevent",
        STREAMING_ROTATE_S=STREAM_S,
        STREAMING_QUEUE=100_000,
        STREAMING_LLM_BASE_URL=model.url,
        STREAMING_LLM_MODEL="fluent",
    )


def cases(said: str) -> int:
    """How many there were."""
    found = re.search(r"(\d+) generated", said)
    return int(found[1]) if found else 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench openapi", description=__doc__)
    parser.add_argument("--examples", type=int, default=400, help="for each operation")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, make_server(Path(folder)) as server:
        result = attack(server.start(), examples=chosen.examples, seed=chosen.seed)
        print(result.stdout[-20_000:], result.stderr[-2000:])
        failures = server.log_text().count("request failed:")
    print(f"{cases(result.stdout)} cases, {failures} errors in the server's log")
    sys.exit(result.returncode or int(failures > 0))


if __name__ == "__main__":
    main()
