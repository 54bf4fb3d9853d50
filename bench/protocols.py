"""Official clients of other protocols that are cut, killed, hang up, rotate and drain.

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
from pathlib import Path
from typing import Any

import anthropic
import openai
import requests

from examples.openai_server import ModelServer
from tests.e2e.server import Server

#: What is counted as wrong.
FAULTS = ("lost", "doubled", "false successes", "still running", "retried", "cancelled by us")
#: Seconds without a reader before an answer stops, and more for its generation to end.
GRACE_S, LATEST_S = 2.0, 1.0
#: Seconds that one answer may take over all of its cuts.
PATIENCE_S = 120.0
#: Numbers that an answer of the task `counting` has, 50 a second.
NUMBERS = 60
TEXT = "".join(f"{number} " for number in range(NUMBERS))
ASKED = [{"role": "user", "content": f"{NUMBERS} numbers"}]


class Cut(Exception):
    """The client leaves here."""


class Restarted(Exception):
    """The answer begins anew, and the client was told so."""


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


class ChatClient:
    """Chat Completions: raw stream, then our GET with `starting_after`."""

    name = "chat"

    def __init__(self, bench: Bench) -> None:
        self.url = f"{bench.server.url}/v1"
        self.client = openai.OpenAI(base_url=self.url, api_key="none", max_retries=0)
        self.id, self.text, self.position, self.ended = "", "", 0, False

    def read(self, leave: Callable[[], None]) -> None:
        if not self.id:
            stream: Any = self.client.chat.completions.create(
                model="counting",
                messages=ASKED,  # type: ignore[arg-type]
                stream=True,
                extra_headers={"X-On-Disconnect": "continue"},
            )
            with contextlib.closing(stream):
                for chunk in stream:
                    self.take(chunk.to_dict())
                    leave()
            return
        query = f"stream=true&starting_after={self.position}"
        path = f"{self.url}/chat/completions/{self.id}?{query}"
        with requests.get(path, stream=True, timeout=30) as response:
            if response.status_code == 204:
                self.ended = True
            for chunk in frames(response):
                self.take(chunk)
                leave()

    def take(self, chunk: dict[str, Any]) -> None:
        if "error" in chunk:
            raise_told(chunk["error"].get("code"))
            return
        self.id, self.position = chunk["id"], chunk["x_position"]
        for choice in chunk["choices"]:
            self.text += choice["delta"].get("content") or ""
            self.ended = self.ended or choice["finish_reason"] is not None

    def start_over(self) -> None:
        self.text, self.position = "", 0


class MessagesClient:
    """Messages: raw stream, then our GET with `Last-Event-ID`."""

    name = "messages"

    def __init__(self, bench: Bench) -> None:
        self.url = f"{bench.server.url}/v1/messages"
        self.id, self.text, self.position, self.ended = "", "", 0, False

    def read(self, leave: Callable[[], None]) -> None:
        if self.id:
            headers = {"Last-Event-ID": str(self.position), "Accept": "text/event-stream"}
            asked = requests.get(f"{self.url}/{self.id}", headers=headers, stream=True, timeout=30)
        else:
            body = {"model": "counting", "max_tokens": 999, "messages": ASKED, "stream": True}
            on = {"X-On-Disconnect": "continue"}
            asked = requests.post(self.url, json=body, headers=on, stream=True, timeout=30)
        with asked as response:
            if response.status_code == 204:
                self.ended = True
            for position, body in numbered(response):
                self.take(body)
                self.position = position or self.position
                leave()

    def take(self, body: dict[str, Any]) -> None:
        if body["type"] == "error":
            raise_told(body["error"].get("code"))
        elif body["type"] == "message_start":
            self.id = body["message"]["id"]
        elif body["type"] == "content_block_delta":
            self.text += body["delta"].get("text", "")
        elif body["type"] == "message_stop":
            self.ended = True

    def start_over(self) -> None:
        self.text, self.position = "", 0


class ResponsesClient:
    """Responses in the background: `retrieve` with `starting_after`, by OpenAI's client."""

    name = "responses"

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
                model="counting", input=ASKED[0]["content"], background=True, stream=True
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

    def start_over(self) -> None:
        raise AssertionError("a response never starts over")


class Leaving:
    """Raises `Cut` at the so-manyth frame; never for 0."""

    def __init__(self, frames: int) -> None:
        self._left = frames

    def __call__(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise Cut


COMING_BACK = (ChatClient, MessagesClient, ResponsesClient)


def watch(bench: Bench, kind: Any, *, cut: bool) -> None:
    """Read an answer to its end over any number of cuts, and judge it."""
    client = kind(bench)
    until = time.monotonic() + PATIENCE_S
    while not client.ended and time.monotonic() < until:
        left = bench.chance.randint(1, NUMBERS) if cut else 0

        leave = Leaving(left)

        try:
            client.read(leave)
        except Cut:
            bench.note(f"{client.name}: cuts")
            cut = bench.chance.random() < 0.7
        except Restarted:
            client.start_over()
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


def frames(response: requests.Response) -> Iterator[dict[str, Any]]:
    for _, body in numbered(response):
        yield body


def numbered(response: requests.Response) -> Iterator[tuple[int, dict[str, Any]]]:
    """The `id:` and the data of each frame that came whole."""
    position = 0
    for line in response.iter_lines(chunk_size=None):
        if line.startswith(b"id: "):
            position = int(line[4:])
        elif line.startswith(b"data: {"):
            body = requests.compat.json.loads(line[6:])
            yield position, body
            position = 0


def raise_told(code: str | None) -> None:
    """What an error frame means: the answer begins anew, or the client is to come back."""
    if code == "restarted":
        raise Restarted
    raise ConnectionError(code)


# -- clients that cannot come back


def hang_up(bench: Bench, number: int) -> None:
    """Ask a model that never ends, by one of the clients, and leave."""
    url, stays_s = bench.server.url, bench.chance.uniform(0.05, 1.0)
    question = f"hang up {number}"
    name = ("chat", "messages", "responses")[number % 3]
    with contextlib.suppress(Exception):  # we leave; whatever the client makes of it
        if name == "chat":
            client = openai.OpenAI(
                base_url=f"{url}/v1", api_key="n", max_retries=0, timeout=stays_s
            )
            said: Any = [{"role": "user", "content": question}]
            for _ in client.chat.completions.create(model="stalling", messages=said, stream=True):
                pass
        elif name == "messages":
            other = anthropic.Anthropic(base_url=url, api_key="n", max_retries=0, timeout=stays_s)
            said = [{"role": "user", "content": question}]
            with other.messages.stream(model="stalling", max_tokens=9, messages=said) as stream:
                for _ in stream:
                    pass
        else:
            client = openai.OpenAI(
                base_url=f"{url}/v1", api_key="n", max_retries=0, timeout=stays_s
            )
            client.responses.create(model="stalling", input=question)
    bench.note(f"{name}: hang-ups")


def hang_ups(bench: Bench, count: int) -> None:
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: hang_up(bench, number), range(count)))
    time.sleep(GRACE_S + LATEST_S + 0.5)  # the last ones left just now
    running = [answer for answer in bench.model.answers if answer.state == "running"]
    for answer in running:
        bench.count("still running", of="hang-ups", detail=str(answer.number))


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
        path = f"{bench.server.url}/v1/jobs?task=counting&limit=50"
        jobs = requests.get(path, timeout=10).json()["jobs"]
        mine = [job for job in jobs if question in str(job["input"])]
        bench.note("chat: SDK retries")
        for job in mine[1:]:
            bench.count("retried", of="retries", detail=job["id"])


# -- the server's own ends


def kills(bench: Bench, count: int) -> None:
    for kind in COMING_BACK:
        for _ in range(count):
            with ThreadPoolExecutor(4) as pool:
                watching = [pool.submit(watch, bench, kind, cut=False) for _ in range(4)]
                time.sleep(bench.chance.uniform(0.2, 1.0))
                bench.server.kill()
                bench.server.start()
                for each in watching:
                    each.result()
            bench.note(f"{kind.name}: kill -9")


def drains(bench: Bench) -> None:
    """A drain in the middle of each: clients are told, and nobody's job is cancelled by it."""
    for kind in COMING_BACK:
        with ThreadPoolExecutor(4) as pool:
            watching = [pool.submit(watch, bench, kind, cut=False) for _ in range(4)]
            time.sleep(0.5)
            bench.server.stop()
            bench.server.start()
            for each in watching:
                each.result()
        bench.note(f"{kind.name}: drains")


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
    listed = requests.get(f"{bench.server.url}/v1/jobs?task=counting&limit=3", timeout=10).json()
    for job in listed["jobs"]:
        if job["status"] == "cancelled":
            bench.count("cancelled by us", of="drain", detail=job["id"])


def run(bench: Bench, *, cuts: int, kill: int, hang: int, retry: int) -> None:
    with bench.server.start(), bench.model:
        for kind in COMING_BACK:
            while bench.done[f"{kind.name}: cuts"] < cuts:
                with ThreadPoolExecutor(8) as pool:
                    list(pool.map(lambda _: watch(bench, kind, cut=True), range(8)))  # noqa: B023
        retries(bench, retry)
        hang_ups(bench, hang)
        kills(bench, kill)
        drains(bench)
        false_successes(bench)
        bench.model.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=1000, help="through each client")
    parser.add_argument("--kills", type=int, default=20, help="kill -9 under each client")
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
