"""Clients of other protocols that are cut, killed, drained, rotated, and that hang up.

Clients that can come back are cut at random moments, and the server is killed; those that cannot
hang up, or retry by themselves. Prints what was lost, doubled, taken for a success that was none,
still generated a second after its grace, generated again for a retry, or cancelled by our own
closing; exit status 0 when all of them are 0.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import anthropic
import openai
import requests

from examples.openai_server import ModelServer
from tests.e2e.server import Server
from tests.protocols.ways import WAYS, Frames, Way, frames_of, last_id

#: What is counted as wrong.
FAULTS = ("lost", "doubled", "false successes", "still running", "retried", "cancelled by us")
#: Seconds without a reader before an answer stops, and more for its generation to end.
GRACE_S, LATEST_S = 2.0, 1.0
#: Seconds that one answer may take over all of its cuts.
PATIENCE_S = 120.0
#: What is asked, and how many numbers the answer has, 50 a second.
TASK, NUMBERS = "reporting", 60
QUESTION = f"{NUMBERS} numbers"
TEXT = "".join(f"{number} " for number in range(NUMBERS))


class Cut(Exception):
    """The client leaves here."""


class Bench:
    """One server with its model server, and what went wrong."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.model = ModelServer(tokens_per_s=50)
        threading.Thread(target=self.model.serve_forever, args=(0.02,), daemon=True).start()
        self.server = Server(
            folder,
            "gevent",
            STREAMING_TASKS="tests.protocols.protocol_tasks",
            STREAMING_LLM_BASE_URL=self.model.url,
            STREAMING_LLM_MODEL="stalling,slow",
            STREAMING_DRAIN_S=3,
            STREAMING_ROTATE_S=20,
        )
        self.chance = random.Random(seed)
        self.faults: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self._lock = threading.Lock()

    def count(self, fault: str, *, of: str, detail: str = "") -> None:
        with self._lock:
            self.faults[fault] += 1
        print(f"{of}: {fault} {detail}", flush=True)

    def note(self, what: str) -> None:
        """One more of what was done."""
        with self._lock:
            self.done[what] += 1

    def judge(self, name: str, text: str) -> None:
        """Compare a whole answer with what it has to be."""
        if text != TEXT:
            fault = "doubled" if len(text) > len(TEXT) else "lost"
            self.count(fault, of=name, detail=repr(text[:80]))


# -- clients that can come back: each reads from where it is until the answer ends


class ByWay:
    """A protocol's client as the tests have it, bare requests alone."""

    def __init__(self, bench: Bench, way: type[Way]) -> None:
        self.name = way.__name__.lower()
        self._server = bench.server
        self._way = way()
        self._way.headers = {"X-On-Disconnect": "continue"}
        self._seen: Frames = []

    @property
    def ended(self) -> bool:
        return self._way.end(self._seen) == "completed"

    @property
    def text(self) -> str:
        return self._way.text(self._seen)

    def read(self, leave: Callable[[], None]) -> None:
        if self._way.job:
            response = self._way.again(self._server, self._seen)
        else:
            response = self._way.begin(self._server, QUESTION, TASK)
        with response:
            for frame in frames_of(response, last_id=last_id(self._seen)):
                self._seen.append(frame)
                leave()
        if self._way.end(self._seen) == "restarted":
            self._seen.clear()


class OpenAI:
    """Responses in the background: `retrieve` with `starting_after`, by OpenAI's client."""

    name = "openai"

    def __init__(self, bench: Bench) -> None:
        self.client = openai.OpenAI(
            base_url=f"{bench.server.url}/v1", api_key="none", max_retries=0
        )
        self.id, self.position, self.ended = "", -1, False
        self.items: dict[int, str] = {}

    @property
    def text(self) -> str:
        return self.items[max(self.items)] if self.items else ""

    def read(self, leave: Callable[[], None]) -> None:
        if self.id:
            again = {"starting_after": self.position} if self.position >= 0 else {}
            stream: Any = self.client.responses.retrieve(self.id, stream=True, **again)
        else:
            stream = self.client.responses.create(
                model=TASK, input=QUESTION, background=True, stream=True
            )
        with contextlib.closing(stream):
            for event in stream:
                self.take(event)
                leave()

    def take(self, event: Any) -> None:
        if event.sequence_number <= self.position:
            raise AssertionError(f"event {event.sequence_number} came twice")
        self.position = event.sequence_number
        if event.type == "response.created":
            self.id = event.response.id
        elif event.type == "response.output_text.delta":
            index = event.output_index
            self.items[index] = self.items.get(index, "") + event.delta
        elif event.type == "response.completed":
            self.ended = True


class Leaving:
    """Raises `Cut` at the so-manyth frame; never for 0."""

    def __init__(self, frames: int) -> None:
        self._left = frames

    def __call__(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise Cut


#: By name, what makes such a client.
COMING_BACK: dict[str, Callable[[Bench], Any]] = {
    **{name: partial(ByWay, way=way) for name, way in WAYS.items()},
    OpenAI.name: OpenAI,
}


def watch(bench: Bench, name: str, *, cut: bool) -> None:
    """Read an answer to its end over any number of cuts, and judge it."""
    client = COMING_BACK[name](bench)
    until = time.monotonic() + PATIENCE_S
    while not client.ended and time.monotonic() < until:
        try:
            client.read(Leaving(bench.chance.randint(1, NUMBERS) if cut else 0))
        except Cut:
            bench.note(f"{client.name}: cuts")
            cut = bench.chance.random() < 0.7
        except AssertionError as error:
            bench.count("doubled", of=client.name, detail=str(error))
            return
        except Exception as error:  # noqa: BLE001 - whatever a client makes of a connection that is gone
            bench.note(f"{client.name}: {type(error).__name__}")
            time.sleep(0.2)
    if not client.ended:
        bench.count("lost", of=client.name, detail="it never ended")
    else:
        bench.judge(client.name, client.text)


# -- clients that cannot come back


def _chat(url: str, question: str, stays_s: float) -> None:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="n", max_retries=0, timeout=stays_s)
    said: Any = [{"role": "user", "content": question}]
    for _ in client.chat.completions.create(model="stalling", messages=said, stream=True):
        pass


def _messages(url: str, question: str, stays_s: float) -> None:
    client = anthropic.Anthropic(base_url=url, api_key="n", max_retries=0, timeout=stays_s)
    said: Any = [{"role": "user", "content": question}]
    with client.messages.stream(model="stalling", max_tokens=9, messages=said) as stream:
        stream.until_done()


def _responses(url: str, question: str, stays_s: float) -> None:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="n", max_retries=0, timeout=stays_s)
    client.responses.create(model="stalling", input=question)


def _agui(url: str, question: str, stays_s: float) -> None:
    said = [{"id": "u", "role": "user", "content": question}]
    body = {"threadId": question, "runId": question, "messages": said, "tools": [], "context": []}
    with requests.post(f"{url}/v1/agui/stalling", json=body, stream=True, timeout=stays_s) as run:
        list(run.iter_lines())


def _mcp(url: str, question: str, stays_s: float) -> None:
    """The revision without sessions; its tools are tasks."""
    said = [{"role": "user", "content": f"100000 numbers: {question}"}]
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}
    params = {"name": TASK, "arguments": {"messages": said}, "_meta": meta}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    with requests.post(f"{url}/mcp", json=body, stream=True, timeout=stays_s) as call:
        list(call.iter_lines())


HANGING_UP = {each.__name__[1:]: each for each in (_chat, _messages, _responses, _agui, _mcp)}


def hang_up(bench: Bench, number: int) -> None:
    """Ask for an answer that never ends, by one of the clients, and leave."""
    name = list(HANGING_UP)[number % len(HANGING_UP)]
    stays_s = bench.chance.uniform(0.05, 1.0)
    with contextlib.suppress(Exception):  # we leave; whatever the client makes of it
        HANGING_UP[name](bench.server.url, f"hang up {number}", stays_s)
    bench.note(f"{name}: hang-ups")


def hang_ups(bench: Bench, count: int) -> None:
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: hang_up(bench, number), range(count)))
    time.sleep(GRACE_S + LATEST_S + 0.5)  # the last ones left just now
    for answer in bench.model.answers:
        if answer.state == "running":
            bench.count("still running", of="hang-ups", detail=str(answer.number))
    for job in jobs_of(bench, f"task={TASK}&status=running&limit=100"):
        bench.count("still running", of="hang-ups", detail=job["id"])


def jobs_of(bench: Bench, query: str) -> list[Any]:
    listed = requests.get(f"{bench.server.url}/v1/jobs?{query}", timeout=10).json()
    return list(listed["jobs"])


def retries(bench: Bench, count: int) -> None:
    """A request that fails before its answer is whole is sent again by the SDK: no second job."""
    for number in range(count):
        question = f"{NUMBERS} numbers, retry {number}"
        client = openai.OpenAI(
            base_url=f"{bench.server.url}/v1", api_key="none", max_retries=3, timeout=0.6
        )
        with contextlib.suppress(openai.APITimeoutError):  # the whole may come later
            client.chat.completions.create(
                model="counting", messages=[{"role": "user", "content": question}]
            )
        jobs = jobs_of(bench, "task=counting&limit=50")
        mine = [job for job in jobs if question in str(job["input"])]
        bench.note("chat: SDK retries")
        for job in mine[1:]:
            bench.count("retried", of="retries", detail=job["id"])


# -- the server's own ends


def kills(bench: Bench, count: int) -> None:
    for _ in range(count):
        with all_watching(bench, "kill -9"):
            time.sleep(bench.chance.uniform(0.2, 1.0))
            bench.server.kill()
            bench.server.start()


def drains(bench: Bench) -> None:
    """A drain in the middle of each: clients are told, and nobody's job is cancelled by it."""
    with all_watching(bench, "drain"):
        time.sleep(0.5)
        bench.server.stop()
        bench.server.start()


def rotations(bench: Bench) -> None:
    """Streams that live for a fraction of an answer."""
    bench.server.stop()
    bench.server.set(STREAMING_ROTATE_S=0.4)
    bench.server.start()
    with all_watching(bench, "rotation"):
        pass
    bench.server.stop()
    bench.server.set(STREAMING_ROTATE_S=20)
    bench.server.start()


@contextlib.contextmanager
def all_watching(bench: Bench, trouble: str) -> Iterator[None]:
    """Two of each client that can come back watch an answer each while something happens."""
    names = [*COMING_BACK] * 2
    with ThreadPoolExecutor(len(names)) as pool:
        watching = [pool.submit(watch, bench, name, cut=False) for name in names]
        yield
        for each in watching:
            each.result()
    for name in COMING_BACK:
        bench.note(f"{name}: {trouble}")


def false_successes(bench: Bench) -> None:
    """The SDKs' helpers, whose server drains: none may take the part for the whole."""
    client = openai.OpenAI(base_url=f"{bench.server.url}/v1", api_key="none", max_retries=0)
    other = anthropic.Anthropic(base_url=bench.server.url, api_key="none", max_retries=0)
    said: Any = [{"role": "user", "content": "300 numbers"}]

    def chat() -> None:
        for _ in client.chat.completions.create(model="counting", messages=said, stream=True):
            pass

    def messages() -> None:
        with other.messages.stream(model="counting", max_tokens=9, messages=said) as stream:
            stream.get_final_message()

    def responses() -> None:
        with client.responses.stream(model="counting", input="300 numbers") as stream:
            stream.get_final_response()

    with ThreadPoolExecutor(3) as pool:
        running = {each.__name__: pool.submit(each) for each in (chat, messages, responses)}
        time.sleep(1)
        bench.server.stop()
        for name, future in running.items():
            if future.exception() is None:
                bench.count("false successes", of=name)
            bench.note(f"{name}: cut by a drain")
    bench.server.start()
    time.sleep(GRACE_S + 2)
    for job in jobs_of(bench, "task=counting&limit=3"):
        if job["status"] == "cancelled":
            bench.count("cancelled by us", of="drain", detail=job["id"])


def run(bench: Bench, *, cuts: int, kill: int, hang: int, retry: int) -> None:
    with bench.server.start(), bench.model:
        for name in COMING_BACK:
            while bench.done[f"{name}: cuts"] < cuts:
                with ThreadPoolExecutor(8) as pool:
                    list(pool.map(lambda _: watch(bench, name, cut=True), range(8)))  # noqa: B023
        retries(bench, retry)
        hang_ups(bench, hang)
        kills(bench, kill)
        drains(bench)
        rotations(bench)
        false_successes(bench)
        bench.model.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=1000, help="through each client")
    parser.add_argument("--kills", type=int, default=20, help="kill -9 under all of them")
    parser.add_argument("--hang-ups", type=int, default=3000, help="over all clients")
    parser.add_argument("--retries", type=int, default=50, help="requests that an SDK repeats")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), options.seed)
        run(
            bench,
            cuts=options.cuts,
            kill=options.kills,
            hang=options.hang_ups,
            retry=options.retries,
        )
    for name, count in sorted(bench.done.items()):
        print(f"{name:32} {count:6}")
    for name in FAULTS:
        print(f"{name:32} {bench.faults[name]:6}")
    sys.exit(bool(bench.faults))


if __name__ == "__main__":
    main()
