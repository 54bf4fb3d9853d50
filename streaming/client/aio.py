"""The client for asyncio: what `sync` has, awaited."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack, cast

from streaming.client import calls
from streaming.client.aio_http import AsyncHttp
from streaming.client.aio_watch import AsyncWatch
from streaming.client.follower import Follower
from streaming.client.outcome import Waiting, result_of
from streaming.client.steps import TRANSPORTS, Transport
from streaming.client.sync import AWAY_S, TIMEOUT_S, UPLOAD_S
from streaming.client.types import Event, Job, JobOptions, JobsQuery
from streaming.events.vocabulary import Json, JsonMapping, JsonObject


class AsyncClient:
    """Connections to one server, for one event loop.

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
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`away_s`: seconds without an answer after which a watch gives up; None: never."""
        self._http = AsyncHttp(base_url, api_key, timeout_s=timeout_s, sleep=sleep)
        self._away_s = away_s
        self._transports = tuple(transports)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    # -- jobs

    async def tasks(self) -> list[JsonObject]:
        """The tasks that the server knows."""
        found: list[JsonObject] = (await self._http.call(calls.Call("GET", "/tasks")))["tasks"]
        return found

    async def submit(
        self,
        task: str,
        input: JsonMapping | None = None,
        *,
        idempotency_key: str | None = None,
        **options: Unpack[JobOptions],
    ) -> Job:
        """Start a job; its snapshot. `options` are the other fields of `POST /v1/jobs`."""
        return await self._job(calls.submit(task, input, idempotency_key, options))

    async def run(
        self,
        task: str,
        input: JsonMapping | None = None,
        *,
        idempotency_key: str | None = None,
        **options: Unpack[JobOptions],
    ) -> AsyncWatch:
        """Start a job and watch it from its first event."""
        job = await self.submit(task, input, idempotency_key=idempotency_key, **options)
        return self.watch(job["id"])

    async def upload(self, path: str | os.PathLike[str]) -> str:
        """Upload a file; its id, for inputs that take one."""
        with Path(path).open("rb") as file:
            files = {"file": (Path(path).name, file)}
            response = await self._http.send("POST", "/files", files=files, timeout_s=UPLOAD_S)
        found = calls.parsed(str(response.url), response.status_code, response.content)
        return str(found["files"][0]["id"])

    async def job(self, job: str) -> Job:
        """The job's snapshot."""
        return await self._job(calls.Call("GET", calls.path_of(job)))

    async def jobs(self, **query: Unpack[JobsQuery]) -> AsyncIterator[Job]:
        """The jobs, newest first, page by page; `status` and `task` filter them."""
        while True:
            page = await self._http.call(calls.Call("GET", "/jobs", query))
            for job in page["jobs"]:
                yield job
            if page["next_page_token"] is None:
                return
            query["page_token"] = page["next_page_token"]

    async def cancel(self, job: str, reason: str | None = None) -> Job:
        """Cancel a job; its snapshot."""
        return await self._job(calls.cancel(job, reason))

    async def answer(self, job: str, data: Json, *, request: str | None = None) -> Job:
        """Give a job the input that it waits for; its snapshot."""
        return await self._job(calls.answer(job, data, request))

    async def retry(self, job: str) -> Job:
        """Start a new job with all that was asked of this one; its snapshot."""
        return await self._job(calls.again(job, await self._http.call(calls.page(job, 0, limit=1))))

    async def delete(self, job: str) -> None:
        """Remove a job that has ended."""
        await self._http.call(calls.Call("DELETE", calls.path_of(job), safe=False))

    async def artifact(self, job: str, name: str) -> bytes:
        """An artifact's bytes."""
        response = await self._http.send("GET", calls.path_of(job, "artifacts", name))
        return calls.whole(str(response.url), response.headers, response.content)

    async def export(self, job: str) -> AsyncIterator[Event]:
        """The job's log as far as it goes now, from the first event that is kept."""
        after, more = 0, True
        while more:
            page = await self._http.call(calls.page(job, after))
            for event in page["events"]:
                yield event
            more, after = bool(page["events"]) and not page["closed"], page["next"]

    # -- watching

    def watch(
        self,
        job: str,
        after: int = 0,
        *,
        types: Sequence[str] = (),
        transports: Sequence[Transport] | None = None,
    ) -> AsyncWatch:
        """The job's events behind `after` until its end, each once, over any disconnects."""
        return self._watch({job: after}, types, transports)

    def watch_many(
        self,
        jobs: Sequence[str] | Mapping[str, int],
        *,
        types: Sequence[str] = (),
        transports: Sequence[Transport] | None = None,
    ) -> AsyncWatch:
        """The events of up to 100 jobs over one connection, as they come, until all have ended.

        `jobs` are ids, or ids with the positions to go on from. Each event says its `job`.
        """
        positions = dict(jobs) if isinstance(jobs, Mapping) else dict.fromkeys(jobs, 0)
        return self._watch(positions, types, transports)

    async def wait(self, job: str, timeout_s: float | None = None) -> Job:
        """The snapshot once the job has ended; `WaitTimeout` when it has not within `timeout_s`."""
        waiting = Waiting(job, await self.job(job), timeout_s)
        while (call := waiting.next()) is not None:
            await self._http.sleep(waiting.answered(await self._http.call(call)))
        return await self.job(job) if waiting.waited else waiting.snapshot

    async def text(self, job: str) -> str:
        """The job's whole text, once it has ended."""
        return (await self.wait(job))["text"]

    async def result(self, job: str, timeout_s: float | None = None) -> Json:
        """The job's output, once it has completed; `JobFailed` or `JobCancelled` otherwise."""
        return result_of(await self.wait(job, timeout_s))

    # -- private

    async def _job(self, call: calls.Call) -> Job:
        return cast("Job", await self._http.call(call))

    def _watch(
        self,
        positions: Mapping[str, int],
        types: Sequence[str],
        transports: Sequence[Transport] | None,
    ) -> AsyncWatch:
        follower = Follower(
            positions,
            types=types,
            transports=transports or self._transports,
            away_s=self._away_s,
        )
        return AsyncWatch(follower, self._http.follow(follower), self.wait)
