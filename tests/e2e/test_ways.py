"""Which way events go to their readers, and that it makes no difference to them."""

from __future__ import annotations

import re
from contextlib import closing

import pytest

from tests.e2e.clients import READERS, Api
from tests.e2e.conftest import NewServer
from tests.e2e.reading import assert_ended, assert_whole


def sent_events(api: Api) -> dict[tuple[str, str], float]:
    """What `/metrics` says, by transport and way."""
    pattern = r'streaming_sent_events_total\{transport="(\w+)",way="(\w+)"\} (\S+)'
    found = re.findall(pattern, api.get("/metrics").text)
    return {(transport, way): float(count) for transport, way, count in found}


@pytest.mark.parametrize("transport", ["sse", "websocket"])
@pytest.mark.parametrize("direct", ["1", "0"])
def test_who_has_caught_up_is_served_by_the_writer_where_there_is_one(
    new_server: NewServer, worker_class: str, direct: str, transport: str
) -> None:
    # One web process on Redis, too: each has figures of its own.
    api = new_server(STREAMING_DIRECT_WRITES=direct, WEB_CONCURRENCY=1).start().api
    job = api.submit("counting")

    with closing(READERS[transport](api, job)) as events:
        seen = [next(events) for _ in range(60)]
        api.cancel(job)
        seen += events

    assert_ended(seen)
    assert assert_whole(seen) == api.snapshot(job)["seq"] == len(seen)
    sent = sent_events(api)
    by_writer = sent.get((transport, "writer"), 0)
    assert (by_writer > 0) == (direct == "1" and worker_class != "gthread")
    assert by_writer + sent[transport, "stream"] == len(seen)
