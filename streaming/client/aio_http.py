"""The requests of `http`, for asyncio: one call, or whatever a follower wants."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

import httpx

from streaming.client import calls
from streaming.client.errors import ClientError, ProblemError, ServerAway
from streaming.client.follower import Follower
from streaming.client.steps import Ask, Open, Pause
from streaming.events.vocabulary import Json, JsonObject

#: Seconds to connect.
CONNECT_S = 10.0


class AsyncHttp:
    """One server, with its key; raises nothing but `ClientError`."""

    def __init__(
        self,
        url: str,
        api_key: str | None,
        *,
        timeout_s: float,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self.base_url = calls.base_of(url)
        self.sleep = sleep
        self._timeout_s = timeout_s
        # As many streams at once as anybody wants.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
        headers = calls.headers_of(api_key)
        self._client = httpx.AsyncClient(headers=headers, limits=limits, follow_redirects=True)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def send(
        self,
        method: str,
        path: str,
        *,
        timeout_s: float | None = None,
        stream: bool = False,
        **options: Any,
    ) -> httpx.Response:
        """The response, whose status is below 400."""
        timeout = httpx.Timeout(timeout_s or self._timeout_s, connect=CONNECT_S)
        try:
            url = self.base_url + path
            request = self._client.build_request(method, url, timeout=timeout, **options)
            response = await self._client.send(request, stream=stream)
            if response.status_code >= 400:
                headers = {name.lower(): value for name, value in response.headers.items()}
                raise ProblemError.of(response.status_code, headers, await _body(response))
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise ClientError(f"{self.base_url} is no address of a server: {error}") from error
        except ValueError as error:
            raise ClientError(f"this cannot be sent: {error}") from error
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise ServerAway(calls.server_of(self.base_url), _reason(error)) from error
        return response

    async def call(self, call: calls.Call) -> Json:
        """The parsed answer; asked for again where that is safe and may help."""
        tried = 0
        while True:
            tried += 1
            try:
                response = await self.send(
                    call.method,
                    call.path,
                    params=call.params,
                    json=call.json,
                    headers=call.headers,
                    timeout_s=call.timeout_s,
                )
                return calls.parsed(str(response.url), response.status_code, response.content)
            except ClientError as error:
                pause_s = calls.pause_s(error, call, tried)
                if pause_s is None:
                    raise
                await self.sleep(pause_s)

    async def follow(self, follower: Follower) -> AsyncGenerator[JsonObject, None]:
        """Do what a follower says; the events that come of it."""
        while (step := follower.next()) is not None:
            if isinstance(step, Pause):
                await self.sleep(step.seconds)
                continue
            found = (
                self._ask(follower, step) if isinstance(step, Ask) else self._read(follower, step)
            )
            async with contextlib.aclosing(found) as events:
                async for event in events:
                    yield event

    async def _ask(self, follower: Follower, step: Ask) -> AsyncGenerator[JsonObject, None]:
        try:
            response = await self.send(
                "GET", step.path, params=step.params, timeout_s=step.timeout_s
            )
            page = calls.parsed_page(str(response.url), response.status_code, response.content)
        except ClientError as error:
            follower.failed(error)
            return
        for event in follower.answered(page):
            yield event

    async def _read(self, follower: Follower, step: Open) -> AsyncGenerator[JsonObject, None]:
        try:
            response = await self._open(step)
        except ClientError as error:
            follower.failed(error)
            return
        try:
            if response.status_code == 204:
                follower.nothing()
                return
            follower.opened()
            # However it ends, the follower knows how far it came.
            with contextlib.suppress(httpx.HTTPError, httpx.StreamError, TimeoutError):
                chunks = response.aiter_bytes()
                while (chunk := await _next(chunks, step.quiet_s)) is not None:
                    for event in follower.take(chunk):
                        yield event
                    if follower.leaving:
                        break
            follower.closed()
        finally:
            await response.aclose()

    async def _open(self, step: Open) -> httpx.Response:
        try:
            async with asyncio.timeout(CONNECT_S + step.first_s):
                response = await self.send(
                    "GET",
                    step.path,
                    params=step.params,
                    headers=calls.STREAM_HEADERS,
                    timeout_s=step.first_s,
                    stream=True,
                )
        except TimeoutError as error:
            raise ServerAway(calls.server_of(self.base_url), "it took too long") from error
        # From here on `quiet_s` counts; the time-outs of the request are looked up when it is read.
        response.request.extensions["timeout"]["read"] = None
        kind = response.headers.get("Content-Type", "")
        if response.status_code != 204 and not kind.startswith("text/event-stream"):
            await response.aclose()
            url = str(response.url)
            raise ServerAway(url, f"the answer is {kind or 'of no type'}, and no stream")
        return response


async def _next(chunks: AsyncIterator[bytes], quiet_s: float) -> bytes | None:
    """The next chunk; None at the end. `TimeoutError` when none comes."""
    async with asyncio.timeout(quiet_s):
        return await anext(chunks, None)


async def _body(response: httpx.Response) -> bytes:
    try:
        return await response.aread()
    finally:
        await response.aclose()


def _reason(error: BaseException) -> str:
    """What went wrong, in few words: the cause is wrapped several times."""
    if isinstance(error, httpx.TimeoutException):
        return "it took too long"
    while cause := error.__cause__ or error.__context__:
        error = cause
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return str(getattr(error, "strerror", None) or str(error) or type(error).__name__)
