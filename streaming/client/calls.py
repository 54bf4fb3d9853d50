"""Each request of the API as data, for both clients. No I/O."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from streaming.client.errors import ClientError, ProblemError, ServerAway
from streaming.events.vocabulary import Json, JsonMapping, JsonObject

#: Tries of a request that is safe to repeat, and the longest that one waits for the next.
TRIES, LONGEST_WAIT_S = 3, 20.0
_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
#: What a submission may say besides its task and input, and a retry takes over.
OPTIONS = (
    "title",
    "metadata",
    "webhook",
    "on_disconnect",
    "on_break",
    "disconnect_grace_s",
    "timeout_s",
    "ttl_s",
)


@dataclass(frozen=True, slots=True)
class Call:
    """One request below `/v1`."""

    method: str
    path: str
    params: JsonMapping = field(default_factory=dict)
    json: Json = None
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Whether it may be sent again when its answer was lost.
    safe: bool = True
    #: Seconds for the answer, where they are not the client's.
    timeout_s: float | None = None


#: Of a request for a stream: an intermediary that packs it would hold it back.
STREAM_HEADERS = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}


def base_of(url: str) -> str:
    """What the paths of requests are appended to."""
    if "://" not in url:
        url = f"http://{url}"
    return url.rstrip("/").removesuffix("/v1") + "/v1"


def server_of(base_url: str) -> str:
    """The address as people write it."""
    return base_url.removesuffix("/v1")


def headers_of(api_key: str | None) -> dict[str, str]:
    return {} if api_key is None else {"Authorization": f"Bearer {api_key}"}


def parsed(url: str, status: int, content: bytes) -> Json:
    """An answer's JSON; None for 204. What is no whole JSON was cut off, or is not our server's."""
    if status == 204:
        return None
    try:
        return json.loads(content)
    except ValueError as error:
        raise ServerAway(url, f"the answer is no JSON: {error}") from error


def parsed_page(url: str, status: int, content: bytes) -> JsonMapping:
    """A page of a long poll."""
    found = parsed(url, status, content)
    if not isinstance(found, dict) or not found.keys() >= {"events", "next", "closed"}:
        raise ServerAway(url, "the answer is no page of events")
    return found


def whole(url: str, headers: Mapping[str, str], content: bytes) -> bytes:
    """A file's bytes; `ServerAway` where nothing says that they are all there."""
    if "content-length" not in headers and "transfer-encoding" not in headers:
        raise ServerAway(url, "the answer was cut off")
    return content


def path_of(job: str, *more: str) -> str:
    """The path of a job, or of what it has; what can be no id is refused as the server would."""
    if not _ID.fullmatch(job):
        detail = f"there is no job {job[:80]!r}"
        raise ProblemError(404, {"code": "job_not_found", "detail": detail, "retryable": False})
    return "/".join(["/jobs", job, *(quote(part, safe="") for part in more)])


def submit(task: str, input: JsonMapping | None, key: str | None, options: JsonMapping) -> Call:
    """Start a job. It has an idempotency key in any case, so that it can be sent again."""
    body = {"task": task, "input": dict(input or {}), **options}
    return Call("POST", "/jobs", json=body, headers={"Idempotency-Key": key or uuid.uuid4().hex})


def cancel(job: str, reason: str | None) -> Call:
    return Call("POST", path_of(job, "cancel"), json={"reason": reason})


def answer(job: str, data: Json, request: str | None) -> Call:
    # Without a request it may be fed to the task, which takes the same twice.
    body = {"request": request, "data": data}
    return Call("POST", path_of(job, "input"), json=body, safe=request is not None)


def page(job: str, after: int, *, wait_s: float = 0, limit: int = 500, types: str = "") -> Call:
    params: JsonObject = {"after": after, "wait": wait_s, "limit": limit}
    if types:
        params["types"] = types
    return Call("GET", path_of(job, "poll"), params, timeout_s=wait_s + 10 if wait_s else None)


def again(job: str, first_page: JsonMapping) -> Call:
    """Start a job anew, with all that was asked of it: its `job.queued` says what."""
    events = first_page["events"]
    if not events or events[0]["type"] != "job.queued":
        raise ClientError(f"what was asked of {job} is not kept any more; start it with run")
    asked = events[0]["data"]
    options = {name: asked[name] for name in OPTIONS if asked.get(name) is not None}
    return submit(asked["task"], asked.get("input"), None, options)


def pause_s(error: ClientError, call: Call, tried: int) -> float | None:
    """Seconds before the call is sent again; None: not again."""
    if tried >= TRIES:
        return None
    if isinstance(error, ProblemError):
        wait_s = error.retry_after_s
        fits = wait_s is not None and wait_s <= LONGEST_WAIT_S
        return wait_s if error.status in (429, 503) and fits else None
    return 0.2 * tried if isinstance(error, ServerAway) and call.safe else None
