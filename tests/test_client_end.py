"""A stream's client: gone when it has hung up, which is found out where its socket is watched."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from streaming.concurrency.waking import make_waker
from streaming.watching.client_end import ClientEnd
from streaming.watching.hangups import Hangups
from tests.threads import TIMEOUT_S

needs_epoll = pytest.mark.skipif(not Hangups().works, reason="nothing tells of it here")


@pytest.fixture
def hangups() -> Iterator[Hangups]:
    made = Hangups()
    made.start()
    yield made
    made.stop()


def client_end(sock: socket.socket) -> ClientEnd:
    return ClientEnd({"gunicorn.socket": sock, "SERVER_PROTOCOL": "HTTP/1.1"})


@needs_epoll
def test_a_client_that_hangs_up_wakes_its_stream_and_is_gone(hangups: Hangups) -> None:
    ours, peer = socket.socketpair()
    with ours, peer:
        end, waker = client_end(ours), make_waker()
        end.watch(hangups, waker, messages=False)
        assert not end.gone

        peer.close()
        assert waker.wait(TIMEOUT_S)
        assert end.gone
        end.unwatch(hangups)


@needs_epoll
def test_a_client_that_sends_something_is_not_gone_and_may_go_later(hangups: Hangups) -> None:
    ours, peer = socket.socketpair()
    with ours, peer:
        end, waker = client_end(ours), make_waker()
        end.watch(hangups, waker, messages=True)
        peer.send(b"hello")
        assert waker.wait(TIMEOUT_S)
        assert not end.gone
        assert ours.recv(5) == b"hello"

        end.watch(hangups, waker, messages=True)
        peer.close()
        assert waker.wait(TIMEOUT_S)
        assert end.gone
        end.unwatch(hangups)


def test_a_client_that_nobody_watches_is_asked_for_each_time() -> None:
    ours, peer = socket.socketpair()
    with ours, peer:
        end = client_end(ours)
        assert not end.gone

        peer.close()
        assert end.gone
