"""Requests that block: one call, or whatever a follower wants."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from typing import Any

import requests
import urllib3

from streaming.client import calls
from streaming.client.errors import ClientError, ProblemError, ServerAway
from streaming.client.follower import Follower
from streaming.client.steps import Ask, Open, Pause
from streaming.events.vocabulary import Json, JsonObject

#: Seconds to connect.
CONNECT_S = 10.0
#: Bytes read from a stream at once, at most.
CHUNK = 1 << 16


class Http:
    """One server, with its key; raises nothing but `ClientError`."""

    def __init__(
        self, url: str, api_key: str | None, *, timeout_s: float, sleep: Callable[[float], None]
    ) -> None:
        self.base_url = calls.base_of(url)
        self.sleep = sleep
        self._timeout_s = timeout_s
        self._session = requests.Session()
        self._session.headers.update(calls.headers_of(api_key))

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def send(
        self, method: str, path: str, *, timeout_s: float | None = None, **options: Any
    ) -> requests.Response:
        """The response, whose status is below 400."""
        times = (CONNECT_S, timeout_s or self._timeout_s)
        try:
            url = self.base_url + path
            response = self._session.request(method, url, timeout=times, **options)
            if response.status_code >= 400:
                headers = {name.lower(): value for name, value in response.headers.items()}
                raise ProblemError.of(response.status_code, headers, response.content)
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
            raise ClientError(f"{self.base_url} is no address of a server: {error}") from error
        except requests.exceptions.InvalidJSONError as error:
            raise ClientError(f"this cannot be sent: {error}") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise ServerAway(calls.server_of(self.base_url), _reason(error)) from error
        return response

    def call(self, call: calls.Call) -> Json:
        """The parsed answer; asked for again where that is safe and may help."""
        tried = 0
        while True:
            tried += 1
            try:
                response = self.send(
                    call.method,
                    call.path,
                    params=call.params,
                    json=call.json,
                    headers=call.headers,
                    timeout_s=call.timeout_s,
                )
                return calls.parsed(response.url, response.status_code, response.content)
            except ClientError as error:
                pause_s = calls.pause_s(error, call, tried)
                if pause_s is None:
                    raise
                self.sleep(pause_s)

    def follow(self, follower: Follower) -> Generator[JsonObject]:
        """Do what a follower says; the events that come of it."""
        while (step := follower.next()) is not None:
            if isinstance(step, Pause):
                self.sleep(step.seconds)
            elif isinstance(step, Ask):
                yield from self._ask(follower, step)
            else:
                yield from self._read(follower, step)

    def _ask(self, follower: Follower, step: Ask) -> Iterator[JsonObject]:
        try:
            response = self.send("GET", step.path, params=step.params, timeout_s=step.timeout_s)
            page = calls.parsed_page(response.url, response.status_code, response.content)
        except ClientError as error:
            follower.failed(error)
            return
        yield from follower.answered(page)

    def _read(self, follower: Follower, step: Open) -> Iterator[JsonObject]:
        try:
            response = self._open(step)
        except ClientError as error:
            follower.failed(error)
            return
        with contextlib.closing(response):
            if response.status_code == 204:
                follower.nothing()
                return
            follower.opened()
            # However it ends, the follower knows how far it came.
            with contextlib.suppress(urllib3.exceptions.HTTPError, OSError):
                for chunk in _chunks(response, step.quiet_s):
                    yield from follower.take(chunk)
                    if follower.leaving:
                        break
            follower.closed()

    def _open(self, step: Open) -> requests.Response:
        response = self.send(
            "GET",
            step.path,
            params=step.params,
            headers=calls.STREAM_HEADERS,
            stream=True,
            timeout_s=step.first_s,
        )
        kind = response.headers.get("Content-Type", "")
        if response.status_code != 204 and not kind.startswith("text/event-stream"):
            response.close()
            raise ServerAway(response.url, f"the answer is {kind or 'of no type'}, and no stream")
        return response


def _chunks(response: requests.Response, quiet_s: float) -> Iterator[bytes]:
    """The body as it comes."""
    raw: urllib3.HTTPResponse = response.raw
    socket = getattr(getattr(raw, "connection", None), "sock", None)
    if socket is not None:  # the head was waited for less patiently
        socket.settimeout(quiet_s)
    # Not `iter_content`, which gives a chunk of the protocol when it is whole: of a large one that
    # is cut off in the middle nothing would be left, again and again.
    while chunk := raw.read1(CHUNK, decode_content=True):
        yield chunk


def _reason(error: BaseException) -> str:
    """What went wrong, in few words: the cause is wrapped several times."""
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return "it took too long"
    while cause := error.__cause__ or error.__context__:
        error = cause
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return str(getattr(error, "strerror", None) or str(error) or type(error).__name__)
