"""Readers of real-model jobs who hang up at random: how soon the generations are aborted.

The jobs say `on_disconnect: cancel`. Exit status 0 only when no generation is still running one
second after the grace of its job.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import requests

from examples.openai_server import Answer, ModelServer
from tests.e2e.server import Server

#: Seconds without a viewer before a job is cancelled, and more for its generation to be aborted.
GRACE_S, LATEST_S = 0.5, 1.0
#: Seconds within which a reader hangs up, and the habits of the model while it does.
WITHIN_S = 3.0
HABITS = ("slow", "silent", "mute", "stalling")


class Caller:
    """Starts a job in one request, reads for a while, and hangs up."""

    def __init__(self, server: Server, number: int, chance: random.Random) -> None:
        self.number = number
        self.left_at = 0.0
        self._url = server.url
        self._stays_s = chance.uniform(0.05, WITHIN_S)
        self.thread = threading.Thread(target=self._call, daemon=True)
        self.thread.start()

    def _call(self) -> None:
        body = {
            "task": "generate",
            "input": {"prompt": f"question {self.number}", "max_tokens": 2000},
            "on_disconnect": "cancel",
            "disconnect_grace_s": GRACE_S,
        }
        asked = {"Accept": "text/event-stream"}
        path = f"{self._url}/v1/jobs"
        with requests.post(path, json=body, headers=asked, stream=True, timeout=30) as response:
            until = time.monotonic() + self._stays_s
            response.raw.connection.sock.settimeout(self._stays_s)
            with contextlib.suppress(Exception):  # it says nothing for so long: we leave anyhow
                while time.monotonic() < until and response.raw.read1(4096):
                    pass
        self.left_at = time.monotonic()


def number_of(answer: Answer) -> int:
    return int(str(answer.asked["messages"][-1]["content"]).rpartition(" ")[2])


def watch(models: ModelServer, callers: list[Caller]) -> dict[int, float]:
    """Seconds from each hang-up to the end of the generation; infinite when it went on."""
    found: dict[int, float] = {}
    over = time.monotonic() + WITHIN_S + GRACE_S + LATEST_S + 10
    while len(found) < len(callers) and time.monotonic() < over:
        running = {number_of(each) for each in models.answers if each.state == "running"}
        asked = {number_of(each) for each in models.answers}
        now = time.monotonic()
        for caller in callers:
            number, left_at = caller.number, caller.left_at
            if number in found or not left_at:
                continue
            if number not in running and (number in asked or now > left_at + GRACE_S):
                found[number] = now - left_at
        time.sleep(0.01)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker-class", choices=["gevent", "gthread"], default="gevent")
    parser.add_argument("--readers", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    models = ModelServer(tokens_per_s=20)
    threading.Thread(target=models.serve_forever, daemon=True).start()
    settings: dict[str, Any] = {
        "STREAMING_LLM_BASE_URL": models.url,
        "STREAMING_LLM_MODEL": "asked",
        "GUNICORN_THREADS": options.readers + 100,
        "STREAMING_JOBS": options.readers,
    }
    with (
        tempfile.TemporaryDirectory(prefix="hangups-") as folder,
        Server(
            Path(folder), options.worker_class, STREAMING_TASKS="bench.tasks", **settings
        ) as server,
    ):
        server.start()
        chance = random.Random(options.seed)
        callers = []
        for number in range(options.readers):
            models.aliases["asked"] = HABITS[number % len(HABITS)]
            callers.append(Caller(server, number, chance))
            time.sleep(0.01)
        found = watch(models, callers)
    late = [s for s in found.values() if s > GRACE_S + LATEST_S]
    went_on = options.readers - len(found)
    delays = sorted(found.values())
    print(f"{options.readers} readers hung up, grace {GRACE_S} s")
    print(
        f"from hanging up to the generation's end: p50 {statistics.median(delays):.2f} s, ", end=""
    )
    print(f"longest {max(delays):.2f} s")
    print(f"generations still running 1 s after their grace: {len(late) + went_on}")
    return 1 if late or went_on else 0


if __name__ == "__main__":
    sys.exit(main())
