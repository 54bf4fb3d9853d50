"""Many readers, writers and the retention at once, in real threads: promises 1 and 2 hold."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import pytest

from streaming.storage.base import Storage
from streaming.storage.snapshots import Snapshots
from streaming.watching.cursor import Cursor
from tests.jobs import completed, delta, new_job, reset, said
from tests.threads import TIMEOUT_S, Background
from tests.transports import TRANSPORTS, Client

#: Appends to each job, and readers of them all.
APPENDS, READERS = 80, 6


class Storm:
    """Three jobs that are written, trimmed and read at the same time."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.snapshots = Snapshots(storage.log, storage.index)
        self.jobs = [new_job(storage) for _ in range(3)]
        self.over = threading.Event()

    def write(self, job: str, seed: int) -> dict[str, str]:
        """The texts that were written."""
        dice, texts = random.Random(seed), {"a": "", "b": ""}
        for _ in range(APPENDS):
            item, text = dice.choice("ab"), "".join(dice.choices("xyz漢👍\r\n", k=5))
            start_over = dice.random() < 0.05
            texts[item] = text if start_over else texts[item] + text
            drafts = [reset(item)] if start_over else [said("a line")]
            self.storage.log.append(job, [*drafts, delta(text, item)])
        self.storage.log.append(job, [completed()])
        return texts

    def trim(self) -> None:
        while not self.over.wait(0.003):
            for job in self.jobs:
                before = self.storage.log.page(job, 0, 1).last - 20
                if before > self.storage.log.page(job, 0, 1).base:
                    state = self.snapshots.state_at(job, before)
                    self.storage.log.trim(job, before, state.dump())

    def read(self, seed: int) -> Client:
        """A client that is cut off again and again until all jobs have ended for it."""
        dice, client = random.Random(seed), Client(self.jobs)
        while not all(reader.ended for reader in client.jobs.values()):
            client.disconnect()
            client.send, client.receive = dice.choice(TRANSPORTS)
            client.cursor = Cursor(
                self.storage.log,
                client.positions,
                snapshot=self.snapshots.public,
                base=self.snapshots.public_base,
            )
            while client.cursor is not None and not client.cursor.ended:
                deliveries = client.cursor.read(TIMEOUT_S, limit=dice.randint(1, 40))
                body = client.send(client, deliveries)
                whole = dice.random() < 0.8
                client.receive(client, body if whole else body[: dice.randrange(len(body))])
                if not whole:
                    client.disconnect()
        return client


@pytest.mark.parametrize("trims", [False, True], ids=["whole", "trimmed"])
def test_every_reader_ends_with_the_text_that_was_written(storage: Storage, trims: bool) -> None:
    storm = Storm(storage)
    readers = [Background(storm.read, seed) for seed in range(READERS)]
    trimmer: Callable[[], object] = storm.trim if trims else storm.over.wait
    trimming = Background(trimmer)
    writers = [Background(storm.write, job, seed) for seed, job in enumerate(storm.jobs)]

    written = dict(zip(storm.jobs, [writer.result() for writer in writers], strict=True))
    clients = [reader.result() for reader in readers]
    storm.over.set()
    trimming.result()

    for client in clients:
        for job, reader in client.jobs.items():
            assert {item: text for item, text in reader.texts.items() if text} == written[job]
