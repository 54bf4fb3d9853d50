"""The client that blocks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack, cast

from streaming.client import calls
from streaming.client.follower import Follower
from streaming.client.http import Http
from streaming.client.outcome import Waiting, result_of
from streaming.client.steps import TRANSPORTS, Transport
from streaming.client.types import Event, Job, JobOptions, JobsQuery
from streaming.client.watch import Watch
from streaming.events.vocabulary import Json, JsonMapping, JsonObject

#: Seconds for an answer, and for an upload.
TIMEOUT_S, UPLOAD_S = 30.0, 600.0
#: Seconds without any answer after which a watch gives up.
AWAY_S = 120.0


class Client:
    """A connection to one server. Not for several threads at once.

    Every method raises `ProblemError` when the server refuses and `ServerAway` when nobody answers.
    What can be repeated safely is tried up to three times; `Retry-After` is honoured.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        away_s: float | None = AWAY_S,
        transports: Sequence[Transport] = TRANSPORTS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`away_s`: seconds without an answer after which a watch gives up; None: never."""
        self._http = Http(base_url, api_key, timeout_s=timeout_s, sleep=sleep)
        self._away_s = away_s
        self._transports = tuple(transports)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # -- jobs

    def tasks(self) -> list[JsonObject]:
        """The tasks that the server knows."""
        found: list[JsonObject] = self._http.call(calls.Call("GET", "/tasks"))["tasks"]
        return found

    def submit(
        self,
        task: str,
        input: JsonMapping | None = None,
        *,
        idempotency_key: str | None = None,
        **options: Unpack[JobOptions],
    ) -> Job:
        """Start a job; its snapshot. `options` are the other fields of `POST /v1/jobs`."""
        return self._job(calls.submit(task, input, idempotency_key, options))

    def run(
        self,
        task: str,
        input: JsonMapping | None = None,
        *,
        idempotency_key: str | None = None,
        **options: Unpack[JobOptions],
    ) -> Watch:
        """Start a job and watch it from its first event."""
        return self.watch(
            self.submit(task, input, idempotency_key=idempotency_key, **options)["id"]
        )

    def upload(self, path: str | os.PathLike[str]) -> str:
        """Upload a file; its id, for inputs that take one."""
        with Path(path).open("rb") as file:
            files = {"file": (Path(path).name, file)}
            response = self._http.send("POST", "/files", files=files, timeout_s=UPLOAD_S)
        found = calls.parsed(response.url, response.status_code, response.content)
        return str(found["files"][0]["id"])

    def job(self, job: str) -> Job:
        """The job's snapshot."""
        return self._job(calls.Call("GET", calls.path_of(job)))

    def jobs(self, **query: Unpack[JobsQuery]) -> Iterator[Job]:
        """The jobs, newest first, page by page; `status` and `task` filter them."""
        while True:
            page = self._http.call(calls.Call("GET", "/jobs", query))
            yield from page["jobs"]
            if page["next_page_token"] is None:
                return
            query["page_token"] = page["next_page_token"]

    def cancel(self, job: str, reason: str | None = None) -> Job:
        """Cancel a job; its snapshot."""
        return self._job(calls.cancel(job, reason))

    def answer(self, job: str, data: Json, *, request: str | None = None) -> Job:
        """Give a job the input that it waits for; its snapshot."""
        return self._job(calls.answer(job, data, request))

    def retry(self, job: str) -> Job:
        """Start a new job with all that was asked of this one; its snapshot."""
        return self._job(calls.again(job, self._http.call(calls.page(job, 0, limit=1))))

    def delete(self, job: str) -> None:
        """Remove a job that has ended."""
        self._http.call(calls.Call("DELETE", calls.path_of(job), safe=False))

    def artifact(self, job: str, name: str) -> bytes:
        """An artifact's bytes."""
        response = self._http.send("GET", calls.path_of(job, "artifacts", name))
        return calls.whole(response.url, response.headers, response.content)

    def export(self, job: str) -> Iterator[Event]:
        """The job's log as far as it goes now, from the first event that is kept."""
        after, more = 0, True
        while more:
            page = self._http.call(calls.page(job, after))
            yield from page["events"]
            more, after = bool(page["events"]) and not page["closed"], page["next"]

    # -- watching

    def watch(
        self,
        job: str,
        after: int = 0,
        *,
        types: Sequence[str] = (),
        transports: Sequence[Transport] | None = None,
    ) -> Watch:
        """The job's events behind `after` until its end, each once, over any disconnects."""
        return self._watch({job: after}, types, transports)

    def watch_many(
        self,
        jobs: Sequence[str] | Mapping[str, int],
        *,
        types: Sequence[str] = (),
        transports: Sequence[Transport] | None = None,
    ) -> Watch:
        """The events of up to 100 jobs over one connection, as they come, until all have ended.

        `jobs` are ids, or ids with the positions to go on from. Each event says its `job`.
        """
        positions = dict(jobs) if isinstance(jobs, Mapping) else dict.fromkeys(jobs, 0)
        return self._watch(positions, types, transports)

    def wait(self, job: str, timeout_s: float | None = None) -> Job:
        """The snapshot once the job has ended; `WaitTimeout` when it has not within `timeout_s`."""
        waiting = Waiting(job, self.job(job), timeout_s)
        while (call := waiting.next()) is not None:
            self._http.sleep(waiting.answered(self._http.call(call)))
        return self.job(job) if waiting.waited else waiting.snapshot

    def text(self, job: str) -> str:
        """The job's whole text, once it has ended."""
        return self.wait(job)["text"]

    def result(self, job: str, timeout_s: float | None = None) -> Json:
        """The job's output, once it has completed; `JobFailed` or `JobCancelled` otherwise."""
        return result_of(self.wait(job, timeout_s))

    # -- private

    def _job(self, call: calls.Call) -> Job:
        return cast("Job", self._http.call(call))

    def _watch(
        self,
        positions: Mapping[str, int],
        types: Sequence[str],
        transports: Sequence[Transport] | None,
    ) -> Watch:
        follower = Follower(
            positions,
            types=types,
            transports=transports or self._transports,
            away_s=self._away_s,
        )
        return Watch(follower, self._http.follow(follower), self.wait)
