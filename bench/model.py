"""The tasks on a real model, llama.cpp's server: cancels, kills of either side, continuing.

Prints generations that still run after a stop, tokens that were paid twice, and usage against
the server's own count. Exit status 0 when nothing runs on, nothing was paid twice with
`on_break: continue`, and the counts agree. Not for continuous integration: the first run builds
the server.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.llama import Llama, find_or_build
from tests.e2e.clients import Api
from tests.e2e.server import Server

Json = dict[str, Any]

#: Seconds that a generation may still run after its job was stopped.
LATEST_S = 1.0
#: Tokens that may be counted differently at a joint, where a word was cut.
JOINT_TOKENS = 3
PROMPT = "Write a long story about a lighthouse keeper, the sea and a storm."


class Trial:
    """One server, one model, and what was found."""

    def __init__(self, server: Server, llama: Llama) -> None:
        self.server = server
        self.llama = llama
        self.faults: list[str] = []

    @property
    def api(self) -> Api:
        return self.server.api

    def tasks(self) -> None:
        """Each task once, its usage against the server's count."""
        asked: list[tuple[str, Json]] = [
            ("generate", {"prompt": PROMPT, "max_tokens": 80}),
            ("agent", {"question": "How long are jobs kept? And what is 12 * 3?"}),
            ("chat", {"message": "Say hello.", "idle_s": 2}),
        ]
        for task, input in asked:
            before = self.llama.predicted()
            shown = self.finish(self.start(task, input))
            counted = self.llama.predicted() - before
            usage = shown["usage"]
            ended = f"{shown['status']}, {shown['finish_reason']}{', cut' * shown['cut']}"
            print(f"{task}: {ended}; usage {usage}, the server counts {counted}", flush=True)
            if shown["status"] != "completed":
                self.faults.append(f"{task}: {shown['error']}")
            elif usage["completion_tokens"] != counted or usage.get("estimated"):
                self.faults.append(f"{task}: usage differs")

    def cancels(self, count: int, chance: random.Random) -> None:
        """Cancels before and after the first token: how many generations go on."""
        on, slowest = 0, 0.0
        for number in range(count):
            before_first = number % 2 == 0
            job = self.start("generate", {"prompt": f"{PROMPT} {number}", "max_tokens": 2000})
            if before_first:
                time.sleep(chance.uniform(0, 0.1))
            else:
                self.wait(lambda job=job: self.api.snapshot(job)["text"] or None)  # type: ignore[misc]
            began = time.monotonic()
            self.api.cancel(job)
            self.finish(job)
            idle = self.wait(lambda: self.llama.running() == 0 or None, LATEST_S)
            slowest = max(slowest, time.monotonic() - began)
            on += idle is None
        print(f"{count} cancels: {on} generations still running after {LATEST_S:g} s", flush=True)
        print(f"from a cancel to an idle model: {slowest:.2f} s at most", flush=True)
        if on:
            self.faults.append("generations went on")

    def broken(self, on_break: str, side: str) -> None:
        """kill -9 of the model's server or of ours in mid-answer; what was paid twice."""
        job = self.start("generate", {"prompt": PROMPT, "max_tokens": 150}, on_break=on_break)
        self.wait(lambda: len(self.api.snapshot(job)["text"]) > 120 or None)
        if side == "model":
            self.llama.kill()
            self.llama.start().wait()
        else:
            self.server.kill()
            self.wait(lambda: self.llama.running() == 0 or None, 10)
            self.server.start()
        before = 0 if side == "model" else self.llama.predicted()
        shown = self.finish(job)
        text = [e for e in self.api.log_of(job) if e["type"] in ("text.delta", "text.reset")]
        paid = self.llama.predicted() - before
        ended = f"kill -9 of {side}, on_break {on_break}: {shown['status']}"
        if shown["status"] != "completed":
            print(f"{ended} ({shown['error']['code']})", flush=True)
            return
        twice = max(0, self.kept(text) + paid - self.llama.tokens(shown["text"]) - JOINT_TOKENS)
        print(f"{ended}; tokens paid twice: {twice}", flush=True)
        if on_break == "continue" and twice:
            self.faults.append(f"{side}: {twice} tokens paid twice")

    def kept(self, events: list[Json]) -> int:
        """Tokens that had come before the break: up to the reset, or to the note of the joint."""
        resets = [n for n, event in enumerate(events) if event["type"] == "text.reset"]
        if resets:
            head = events[: resets[-1]]
        else:
            (job,) = {event["job"] for event in events}
            (note,) = [e for e in self.api.log_of(job) if e["data"].get("continued")]
            head = [event for event in events if event["seq"] < note["seq"]]
        return self.llama.tokens("".join(event["data"].get("text", "") for event in head))

    def start(self, task: str, input: Json, **options: Any) -> str:
        body = {"task": task, "input": input, **options}
        return str(self.api.post("/v1/jobs", json=body).json()["id"])

    def finish(self, job: str) -> Json:
        def ended() -> Json | None:
            shown: Json = self.api.snapshot(job)
            return shown if shown["finished_at"] else None

        shown = self.wait(ended, 600)
        assert shown is not None
        return shown

    @staticmethod
    def wait(look: Callable[[], Any], timeout_s: float = 120) -> Any:
        """What `look` finds, as soon as it finds something; None when it does not."""
        until = time.monotonic() + timeout_s
        while True:
            found = look()
            if found is not None or time.monotonic() > until:
                return found
            time.sleep(0.05)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "llama")
    parser.add_argument("--cancels", type=int, default=50)
    parser.add_argument("--threads", type=int, default=2, help="of the model's server")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    binary, weights = find_or_build(options.folder)
    with tempfile.TemporaryDirectory(prefix="model-") as name:
        folder = Path(name)
        log = folder / "llama.log"
        llama = Llama(binary, weights, log, threads=options.threads).start().wait()
        settings = {"STREAMING_LLM_BASE_URL": f"{llama.url}/v1", "STREAMING_LLM_MODEL": "smollm2"}
        settings |= {"STREAMING_LLM_STEP_TOKENS": "200", "STREAMING_LLM_MAX_TOKENS": "200"}
        try:
            with Server(folder, "gevent", **settings) as server:
                trial = Trial(server.start(), llama)
                trial.tasks()
                trial.cancels(options.cancels, random.Random(options.seed))
                for side in ("model", "service"):
                    for on_break in ("restart", "continue"):
                        trial.broken(on_break, side)
        finally:
            llama.kill()
    for fault in trial.faults:
        print(f"fault: {fault}")
    return 1 if trial.faults else 0


if __name__ == "__main__":
    sys.exit(main())
