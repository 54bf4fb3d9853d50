"""Whatever happens between writers and readers: nothing is lost, repeated, or changed.

Jobs are written and trimmed; readers connect, are cut off in the middle of a byte sequence,
come back over another transport. Each keeps only its position and what it has seen.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
)

from streaming.events.event import Draft
from streaming.storage.base import Storage
from streaming.storage.memory import MemoryStorage
from streaming.storage.snapshots import Snapshots
from streaming.storage.sqlite import SqliteStorage
from streaming.watching.cursor import Cursor, Delivery
from streaming.watching.pace import thinned
from tests.jobs import (
    cancelled,
    completed,
    delta,
    failed,
    metric,
    new_job,
    progress,
    reset,
    said,
    started,
    thought,
)
from tests.transports import TRANSPORTS, Client

ITEMS = st.sampled_from(["answer", "turn 2", "b"])
#: Anything that JSON in UTF-8 can carry.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
DRAFTS: st.SearchStrategy[Draft] = st.one_of(
    st.builds(delta, TEXTS, ITEMS),
    st.builds(delta, TEXTS, ITEMS),
    st.builds(reset, ITEMS),
    st.builds(said, TEXTS),
    st.builds(progress, st.integers(0, 100)),
    st.builds(thought, TEXTS, ITEMS),
    st.builds(metric, st.sampled_from("mn"), st.integers(0, 9)),
)
ENDS = st.sampled_from([completed(), failed(), cancelled()])
LIMITS = st.integers(1, 6)
LEVELS = st.integers(0, 3)


TRANSPORT = st.sampled_from(TRANSPORTS)


class Readers(RuleBasedStateMachine):
    """Two jobs, their writers, the retention, and any number of clients."""

    clients = Bundle("clients")

    def __init__(self) -> None:
        super().__init__()
        self.cleanup = contextlib.ExitStack()
        self.storage = self.make_storage()
        self.snapshots = Snapshots(self.storage.log, self.storage.index)
        self.jobs = [new_job(self.storage) for _ in range(2)]
        #: Each job's text, kept apart from the code under test.
        self.written: dict[str, dict[str, str]] = {job: {} for job in self.jobs}
        self.last = dict.fromkeys(self.jobs, 1)
        self.closed: set[str] = set()
        self.everyone: list[Client] = []

    def make_storage(self) -> Storage:
        return MemoryStorage()

    @initialize(target=clients)
    def some_clients(self) -> Any:
        for jobs in (self.jobs[:1], self.jobs):
            self.everyone.append(Client(jobs))
        return multiple(*self.everyone)

    @rule(number=st.integers(0, 1), drafts=st.lists(DRAFTS, min_size=1, max_size=5))
    def append(self, number: int, drafts: list[Draft]) -> None:
        self._append(self.jobs[number], drafts)

    @rule(number=st.integers(0, 1), attempt=st.integers(1, 3), items=st.lists(ITEMS, max_size=2))
    def start_over(self, number: int, attempt: int, items: list[str]) -> None:
        self._append(self.jobs[number], [started(attempt), *map(reset, items)])

    @rule(number=st.integers(0, 1), end=ENDS)
    def end(self, number: int, end: Draft) -> None:
        job = self.jobs[number]
        self._append(job, [end])
        self.closed.add(job)

    @rule(number=st.integers(0, 1), share=st.floats(0, 1))
    def trim(self, number: int, share: float) -> None:
        job = self.jobs[number]
        base = self.storage.log.page(job, 0, 1).base
        before = base + round((self.last[job] - base) * share)
        if before > base:
            state = self.snapshots.state_at(job, before)
            self.storage.log.trim(job, before, state.dump())

    @rule(client=clients, transport=TRANSPORT)
    def connect(self, client: Client, transport: Any) -> None:
        client.disconnect()
        client.send, client.receive = transport
        client.cursor = Cursor(
            self.storage.log,
            client.positions,
            snapshot=self.snapshots.public,
            base=self.snapshots.public_base,
        )

    @rule(client=clients, limit=LIMITS, level=LEVELS)
    def read(self, client: Client, limit: int, level: int) -> None:
        if client.cursor is not None:
            client.receive(client, client.send(client, self._read(client.cursor, limit, level)))

    @rule(client=clients, limit=LIMITS, level=LEVELS, share=st.floats(0, 1))
    def read_and_be_cut_off(self, client: Client, limit: int, level: int, share: float) -> None:
        if client.cursor is not None:
            body = client.send(client, self._read(client.cursor, limit, level))
            client.receive(client, body[: int(len(body) * share)])
            client.disconnect()

    @rule(client=clients, transport=TRANSPORT, level=LEVELS)
    def catch_up(self, client: Client, transport: Any, level: int = 0) -> None:
        self.connect(client, transport)
        assert client.cursor is not None
        while deliveries := self._read(client.cursor, 3, level):
            client.receive(client, client.send(client, deliveries))
        for job, reader in client.jobs.items():
            assert reader.position == self.last[job]
            assert without_blanks(reader.texts) == without_blanks(self.written[job])
            assert reader.ended == (job in self.closed)
        assert client.cursor.ended == (client.jobs.keys() <= self.closed)

    @rule(client=clients, ahead=st.integers(1, 5), transport=TRANSPORT)
    def come_with_a_position_ahead(self, client: Client, ahead: int, transport: Any) -> None:
        client.disconnect()
        for job, reader in client.jobs.items():
            reader.position, reader.texts, reader.ended = self.last[job] + ahead, {}, False
        self.catch_up(client, transport)

    @invariant()
    def snapshots_hold_what_was_written(self) -> None:
        for job in self.jobs:
            public = self.snapshots.public(job)
            texts = {each["item"]: each["text"] for each in public["texts"]}
            assert public["seq"] == self.last[job]
            assert without_blanks(texts) == without_blanks(self.written[job])

    def teardown(self) -> None:
        for client in self.everyone:
            self.catch_up(client, TRANSPORTS[0])

    def _read(self, cursor: Cursor, limit: int, level: int) -> list[Delivery]:
        """What a stream gives at a pressure level."""
        before = dict(cursor.positions)
        return thinned(cursor.read(0, limit=limit), before, level)

    def _append(self, job: str, drafts: list[Draft]) -> None:
        if job in self.closed:
            return
        self.last[job] = self.storage.log.append(job, drafts).seq
        texts = self.written[job]
        for draft in drafts:
            if draft.type == "text.delta":
                item = draft.data["item"]
                texts[item] = texts.get(item, "") + draft.data["text"]
            elif draft.type == "text.reset":
                texts[draft.data["item"]] = ""


class ReadersOfSqlite(Readers):
    """The same, with a file; its readers come from memory and from the file."""

    def make_storage(self) -> Storage:
        self.folder = Path(self.cleanup.enter_context(tempfile.TemporaryDirectory()))
        return self._open()

    @rule()
    def restart(self) -> None:
        for client in self.everyone:
            client.disconnect()
        self.storage.close()
        self.storage = self._open()
        self.snapshots = Snapshots(self.storage.log, self.storage.index)

    def teardown(self) -> None:
        super().teardown()
        self.storage.close()
        self.cleanup.close()

    def _open(self) -> Storage:
        storage = SqliteStorage(self.folder / "log.db", blobs=self.folder / "blobs")
        storage.open(timeout=1)
        return storage


def without_blanks(texts: dict[str, str]) -> dict[str, str]:
    return {item: text for item, text in texts.items() if text}


TestReaders = Readers.TestCase
TestReaders.settings = settings(max_examples=40, stateful_step_count=30)
TestReadersOfSqlite = ReadersOfSqlite.TestCase
TestReadersOfSqlite.settings = settings(max_examples=15, stateful_step_count=30)
