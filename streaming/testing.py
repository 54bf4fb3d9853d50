"""What an app's tests need: `running(app)` runs its tasks, without a server and without sleeping.

::

    from streaming.testing import running

    def test_an_answer_says_what_was_asked(app):
        with running(app) as jobs:
            job = jobs.run("answer", {"question": "why"})

        assert job.status == "completed"
        assert job.text == "You asked: why"

Every `running` has a log of its own in memory, so tests may run side by side.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from flask import Flask
from pydantic import BaseModel

from streaming.concurrency.stop_signal import StopSignal
from streaming.events.event import Event
from streaming.events.vocabulary import Json, JsonMapping, JsonObject
from streaming.jobs.request import digest_of
from streaming.llm.base import Piece, Prompt
from streaming.llm.simulated import SimulatedModel
from streaming.running.origin import UserId
from streaming.running.task import Task
from streaming.server.mount import Mount, mount_of
from streaming.web.auth import submitter
from streaming.web.commands import request_of, submit_body
from streaming.web.origins import present_origin
from streaming.web.principal import Principal
from streaming.web.services import services

#: Seconds that a test waits for a job, or for one of its events, before it fails.
WAIT_S = 30.0
#: Seconds that jobs which still run at the end of a test may use to leave.
LEAVE_S = 1.0
#: Whose the jobs of a test are when it names nobody, in an app with a login of its own.
SOMEBODY = "test"


class Job:
    """A job of a test: what has become of it, and what a client may do to it."""

    def __init__(self, mount: Mount, id: str, wait_s: float) -> None:
        self.id = id
        self._mount = mount
        self._wait_s = wait_s
        self._kept: JsonObject | None = None
        self._log: list[JsonObject] | None = None

    @property
    def snapshot(self) -> JsonObject:
        """The job as `GET /v1/jobs/{id}` shows it."""
        if self._kept is None:
            with self._mount.app.app_context():
                return services().snapshot(self.id)
        return self._kept

    @property
    def events(self) -> list[JsonObject]:
        """Its events, as clients get them."""
        return [event.envelope for event in self._events()] if self._log is None else self._log

    @property
    def status(self) -> str:
        return str(self.snapshot["status"])

    @property
    def text(self) -> str:
        return str(self.snapshot["text"])

    @property
    def output(self) -> Json:
        return self.snapshot["output"]

    @property
    def error(self) -> Json:
        """The problem that it failed with, or None."""
        return self.snapshot["error"]

    def types(self) -> list[str]:
        """The types of its events, in order."""
        return [str(event["type"]) for event in self.events]

    def data(self, kind: str) -> list[Json]:
        """The data of its events of one type, in order."""
        return [event["data"] for event in self.events if event["type"] == kind]

    def wait(self) -> Job:
        """Wait for its end. `TimeoutError` when it does not come."""
        self._until(lambda event: event.terminal, "its end")
        return self.keep()

    def wait_for(self, kind: str) -> Json:
        """Wait for its first event of a type; its data. `TimeoutError` when none comes."""
        return self._until(lambda event: event.type == kind, kind).data

    def answer(self, data: Json) -> Job:
        """Give it the input that it asks for, or that it takes while it runs."""
        with self._mount.app.app_context():
            found = services()
            found.registry.answer(found.registry.find(self.id, None), None, data)
        return self

    def cancel(self, reason: str | None = None) -> Job:
        """Cancel it, and wait for its end."""
        with self._mount.app.app_context():
            found = services()
            found.registry.cancel(found.registry.find(self.id, None), reason)
        return self.wait()

    def keep(self) -> Job:
        """Keep what is known of it: it may be asked for when the app does not run any more."""
        self._kept, self._log = self.snapshot, self.events
        return self

    def _until(self, wanted: Callable[[Event], bool], what: str) -> Event:
        log, after, over = self._mount.server.services().storage.log, 0, _now() + self._wait_s
        while (left := over - _now()) > 0:
            page = log.read(self.id, after, timeout=left)
            for event in page.events:
                after = event.seq
                if wanted(event):
                    return event
            if page.closed and not page.events:
                break
        raise TimeoutError(f"job {self.id} did not come to {what}; it has {self.types()}")

    def _events(self) -> Iterator[Event]:
        log, after = self._mount.server.services().storage.log, 0
        while page := log.page(self.id, after, 500).events:
            yield from page
            after = page[-1].seq


class Jobs:
    """Starts the app's jobs, and finds those that its views have started."""

    def __init__(self, mount: Mount, wait_s: float) -> None:
        self._mount = mount
        self._wait_s = wait_s
        self._all: dict[str, Job] = {}

    def run(
        self,
        task: Task | str,
        input: JsonMapping | BaseModel | None = None,
        *,
        owner: UserId | Principal | None = None,
        **options: Json,
    ) -> Job:
        """Run a task to its end; options are those of `submit`.

        `InvalidInput` when the input is not valid; a task that fails is a job with an `error`.
        """
        return self.start(task, input, owner=owner, **options).wait()

    def start(
        self,
        task: Task | str,
        input: JsonMapping | BaseModel | None = None,
        *,
        owner: UserId | Principal | None = None,
        **options: Json,
    ) -> Job:
        """Start a task, for tests that answer, feed or cancel it."""
        body = submit_body(task, {} if input is None else input, options)
        with self._mount.app.app_context():
            found = services()
            if owner is None and found.authorize is not None:
                owner = SOMEBODY
            asker = submitter(owner)
            row, _ = found.registry.submit(
                asker.owner,
                request_of(body),
                digest=digest_of(body.model_dump(mode="json")),
                records=present_origin(asker.user, body.task).to_records(),
            )
        return self.find(row.id)

    def find(self, id: str) -> Job:
        """A job that a view has started, by the id that its answer says."""
        return self._all.setdefault(id, Job(self._mount, id, self._wait_s))

    def keep(self) -> None:
        """Keep what is known of all jobs."""
        for job in self._all.values():
            job.keep()


class _Saying(SimulatedModel):
    """Gives one answer to every question, at once."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def stream(self, prompt: Prompt, stop: StopSignal) -> Iterator[Piece]:
        return super().stream(replace(prompt, script=self._text, tokens_per_s=0), stop)


@contextmanager
def running(app: Flask, *, wait_s: float = WAIT_S, says: str | None = None) -> Iterator[Jobs]:
    """Run the app's jobs within the block: those of its views, and those that the test starts.

    The log is in memory and new each time, whatever the settings say. Waiting for a job ends
    after `wait_s` seconds with `TimeoutError`. `says` is what `ctx.llm` answers to every
    question, without a pause, whatever the app's model is.
    """
    mount = mount_of(app)
    model = None if says is None else _Saying(says)
    with mount.instead(model=model, log_url="memory://", queue_url="", drain_s=LEAVE_S) as server:
        server.start(timeout=wait_s)
        jobs = Jobs(mount, wait_s)
        try:
            yield jobs
            jobs.keep()
        finally:
            server.drain()


def _now() -> float:
    return time.monotonic()
