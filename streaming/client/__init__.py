"""The Python client: start jobs, watch them over any number of disconnects, steer them."""

from __future__ import annotations

import json
import logging
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import requests
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from streaming.events import wire
from streaming.events.vocabulary import ENDED, TERMINAL

T = TypeVar("T")
logger = logging.getLogger(__name__)

#: Seconds without a byte after which a stream is taken for dead: more than two heartbeats.
READ_S = 40.0
#: Seconds to connect.
CONNECT_S = 10.0
#: Tries to reach a server that is away: a minute or two.
ATTEMPTS = 30
#: Seconds before a broken stream is opened again.
RECONNECT_S = (0.05, 0.25)


class ProblemError(Exception):
    """Raised when the server refuses a request; `problem` is its problem object (RFC 9457)."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(f"{status} {problem.get('code', '')}: {problem.get('detail', '')}")
        self.status = status
        self.problem = problem


class Client:
    """A connection to one server. Not for several threads at once."""

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if "://" not in base_url:
            base_url = f"http://{base_url}"
        self._base_url = base_url.rstrip("/") + "/v1"
        self._session = requests.Session()
        if api_key is not None:
            self._session.headers["Authorization"] = f"Bearer {api_key}"
        self._sleep = sleep

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._session.close()

    def tasks(self) -> list[dict[str, Any]]:
        """The tasks that the server knows."""
        found: list[dict[str, Any]] = self._call("GET", "/tasks")["tasks"]
        return found

    def submit(
        self,
        task: str,
        input: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """Start a job; its snapshot. With a key it is safe to call again."""
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        body = {"task": task, "input": dict(input or {}), **options}
        return self._call("POST", "/jobs", json=body, headers=headers)

    def upload(self, path: str | os.PathLike[str]) -> str:
        """Upload a file; its id, for inputs that take one."""
        with Path(path).open("rb") as file:
            found = self._call("POST", "/files", files={"file": (Path(path).name, file)})
        return str(found["files"][0]["id"])

    def job(self, job: str) -> dict[str, Any]:
        """The job's snapshot."""
        return self._call("GET", f"/jobs/{job}")

    def jobs(self, **query: Any) -> Iterator[dict[str, Any]]:
        """The jobs, newest first, page by page; `status` and `task` filter them."""
        while True:
            page = self._call("GET", "/jobs", params=query)
            yield from page["jobs"]
            if page["next_page_token"] is None:
                return
            query["page_token"] = page["next_page_token"]

    def cancel(self, job: str, reason: str | None = None) -> dict[str, Any]:
        """Cancel a job; its snapshot."""
        return self._call("POST", f"/jobs/{job}/cancel", json={"reason": reason})

    def answer(self, job: str, data: Any, *, request: str | None = None) -> dict[str, Any]:
        """Give a job the input that it waits for; its snapshot."""
        return self._call("POST", f"/jobs/{job}/input", json={"request": request, "data": data})

    def artifact(self, job: str, name: str) -> bytes:
        """An artifact's bytes."""
        return self._request("GET", f"/jobs/{job}/artifacts/{name}").content

    def watch(self, job: str, after: int = 0) -> Iterator[dict[str, Any]]:
        """The job's events behind `after` until its end, each once, over any disconnects.

        Control events (`stream.gap`, `stream.snapshot`, `stream.degraded`) come as they are.
        `ProblemError` when the server refuses, a `requests` error when it stays away.
        """
        while True:
            pause_s = random.uniform(*RECONNECT_S)
            response = self._patiently(self._open, job, after)
            try:
                for event in _lines(response):
                    if event["type"] == "stream.closing":
                        pause_s = event["data"]["retry_s"]
                        continue
                    after = _position(event, after)
                    yield event
                    if event["type"] in TERMINAL:
                        return
            except requests.RequestException:
                logger.info("the stream of job %s broke at %d", job, after)
            finally:
                response.close()
            if self._has_ended(job, after):
                return
            self._sleep(pause_s)

    def _open(self, job: str, after: int) -> requests.Response:
        return self._request(
            "GET",
            f"/jobs/{job}/events",
            params={"after": str(after)},
            headers={"Accept": wire.NDJSON},
            stream=True,
        )

    def _patiently(self, method: Callable[..., T], *args: Any) -> T:
        """Call it again, with backoff, while the server is away or says that it is for now."""
        retrying = Retrying(
            wait=wait_random_exponential(multiplier=0.2, max=5),
            stop=stop_after_attempt(ATTEMPTS),
            retry=retry_if_exception(_is_passing),
            sleep=self._sleep,
            reraise=True,
        )
        return retrying(method, *args)

    def _has_ended(self, job: str, after: int) -> bool:
        snapshot = self._patiently(self.job, job)
        return snapshot["status"] in ENDED and snapshot["seq"] <= after

    def _call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        found: dict[str, Any] = self._request(method, path, **options).json()
        return found

    def _request(self, method: str, path: str, **options: Any) -> requests.Response:
        response = self._session.request(
            method, self._base_url + path, timeout=(CONNECT_S, READ_S), **options
        )
        if response.status_code >= 400:
            raise ProblemError(response.status_code, _problem(response))
        return response


def _lines(response: requests.Response) -> Iterator[dict[str, Any]]:
    """The events of an NDJSON stream; of a line that was cut off, nothing."""
    rest = b""
    for chunk in response.iter_content(None):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (json.loads(line) for line in lines if line)


def _is_passing(error: BaseException) -> bool:
    if isinstance(error, ProblemError):
        return bool(error.problem.get("retryable"))
    return isinstance(error, requests.RequestException)


def _position(event: Mapping[str, Any], after: int) -> int:
    """Where the reader is after an event; a snapshot stands for all up to its seq."""
    if event["type"] == "stream.snapshot":
        return int(event["data"]["seq"])
    return int(event.get("seq", after))


def _problem(response: requests.Response) -> Mapping[str, Any]:
    try:
        found = response.json()
    except requests.JSONDecodeError:
        found = None
    return found if isinstance(found, dict) else {"detail": response.text[:200]}
