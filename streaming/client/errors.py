"""What can go wrong for a client.

ClientError
├── ProblemError     the server refuses
├── ServerAway       the server cannot be reached, or does not answer
├── WaitTimeout      what was waited for did not happen in time (a TimeoutError, too)
└── JobEnded         the job has no result
    ├── JobFailed
    └── JobCancelled
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from streaming.events.vocabulary import JsonMapping

#: Statuses that the same request would get again.
FINAL = frozenset({400, 401, 403, 404, 405, 409, 410, 413, 415, 422})


class ClientError(Exception):
    """The root of what the client raises by itself."""


class ProblemError(ClientError):
    """Raised when the server refuses a request; `problem` is its problem object (RFC 9457)."""

    def __init__(
        self, status: int, problem: JsonMapping, retry_after_s: float | None = None
    ) -> None:
        self.status = status
        self.problem = problem
        #: Seconds that the server asks to wait for, where it does.
        self.retry_after_s = retry_after_s
        self.code = str(problem.get("code") or f"http_{status}")
        self.detail = str(problem.get("detail") or problem.get("title") or f"HTTP {status}")
        #: One for each field that is not valid: `field` and `message`.
        self.errors: list[JsonMapping] = list(problem.get("errors") or [])
        #: Whether the same request may succeed later.
        self.retryable = bool(problem.get("retryable", status not in FINAL))
        super().__init__(f"{status} {self.code}: {self.detail}")

    @classmethod
    def of(cls, status: int, headers: Mapping[str, str], body: bytes) -> ProblemError:
        """The error of a response, which may be a proxy's and have no problem object."""
        try:
            problem = json.loads(body)
        except ValueError:
            problem = None
        if not isinstance(problem, dict):
            problem = {}
        return cls(status, problem, _seconds(headers.get("retry-after")))


class ServerAway(ClientError):
    """Raised when nobody answers at `url`: refused, timed out, or cut off in the middle."""

    def __init__(self, url: str, reason: object) -> None:
        super().__init__(f"no answer from {url}: {reason}")
        self.url = url
        self.reason = str(reason)


class WaitTimeout(ClientError, TimeoutError):
    """Raised when a job has not ended in the time given; it goes on."""

    def __init__(self, job: str, timeout_s: float) -> None:
        super().__init__(f"{job} has not ended within {timeout_s:g} s; it goes on")
        self.job = job


class JobEnded(ClientError):
    """The root of the errors of jobs without a result; `job` is the last snapshot."""

    def __init__(self, job: JsonMapping, message: str) -> None:
        super().__init__(message)
        self.job = job


class JobFailed(JobEnded):
    """Raised by `result()` when the job failed; `problem` says why."""

    def __init__(self, job: JsonMapping) -> None:
        self.problem: JsonMapping = job.get("error") or {}
        super().__init__(job, f"{job.get('id')} failed: {self.problem.get('detail', 'no reason')}")


class JobCancelled(JobEnded):
    """Raised by `result()` when the job was cancelled."""

    def __init__(self, job: JsonMapping) -> None:
        super().__init__(job, f"{job.get('id')} was cancelled")


def _seconds(text: str | None) -> float | None:
    """A Retry-After in seconds; one that is a date, or nonsense, says nothing."""
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
