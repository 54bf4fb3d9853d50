"""Checks that run in a process of their own, with gevent's patches, as in a gevent worker.

Each `check_*` is one behaviour; `main` prints what became of each of them. The tests are in
test_concurrency_gevent.py.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from gevent.monkey import get_original

from streaming.concurrency import loop, platform, threads
from streaming.concurrency.locks import Latch, Mutex
from streaming.concurrency.stop_signal import StopSignal
from streaming.concurrency.threads import Thread
from streaming.concurrency.waking import make_waker, wake_all
from streaming.errors import Cancelled
from streaming.llm.base import Prompt
from streaming.llm.dialing import Dialer
from streaming.llm.exchange import Exchange
from streaming.llm.openai import OpenAIModel
from streaming.server.idle import IdleConnections
from streaming.storage.memory import MemoryStorage
from streaming.storage.sqlite import SqliteStorage
from tests.jobs import completed, delta, new_job, seqs

#: Seconds in which a check must be over.
LIMIT_S = 10.0

_native_sleep = get_original("time", "sleep")
_native_ident = get_original("_thread", "get_ident")


def busy(seconds: float) -> None:
    """Compute, without letting the loop run."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def all_end(greenlets: list[gevent.Greenlet]) -> None:
    gevent.joinall(greenlets, timeout=LIMIT_S / 2, raise_error=True)
    assert all(each.dead for each in greenlets), sum(not each.dead for each in greenlets)


def check_the_main_thread_is_one_of_greenlets() -> None:
    assert platform.patched()
    assert platform.in_greenlet()


def check_a_thread_gives_back_the_event_loop_of_its_sockets() -> None:
    def connect() -> None:
        with socket.socket() as refused:
            refused.settimeout(1)
            assert refused.connect_ex((socket.gethostbyname("localhost"), 9))

    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    assert Thread(connect, name="first").start().join(LIMIT_S)
    before = descriptors()
    for _ in range(10):
        assert Thread(connect, name="another").start().join(LIMIT_S)
    assert descriptors() == before


def check_a_stop_cuts_an_exchange_from_any_thread() -> None:
    loop.adopt_event_loop()
    for spawn in (loop.spawn_greenlet, lambda run: Thread(run, name="job").start()):
        listener = socket.create_server(("127.0.0.1", 0))
        model = OpenAIModel(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", ["any"])
        stop, ended = StopSignal(), Latch()

        def run(stop: StopSignal = stop, model: Any = model, ended: Latch = ended) -> None:
            try:
                list(model.stream(Prompt("?"), stop))
            except Cancelled:
                ended.open()

        spawn(run)
        peer, _ = listener.accept()
        assert peer.recv(10)
        began = time.monotonic()
        Thread(lambda stop=stop: stop.set(Cancelled()), name="canceller").start()
        assert ended.wait(LIMIT_S)
        assert time.monotonic() - began < 1
        peer.close()
        listener.close()


def check_a_thread_measures_how_late_the_loop_is() -> None:
    loop.adopt_event_loop()
    begun, found = Latch(), []

    def measure() -> None:
        begun.open()
        found.append(loop.loop_delay(LIMIT_S))

    began = time.monotonic()
    measuring = Thread(measure, name="meter").start()
    while not begun.is_open:
        busy(0.01)
    busy(0.3)
    assert measuring.join(LIMIT_S)

    assert 0.1 < found[0] < time.monotonic() - began


def check_a_real_thread_wakes_a_greenlet() -> None:
    waker = make_waker()
    Thread(waker.wake, name="waker").start()

    assert waker.wait(LIMIT_S)


def check_a_greenlet_wakes_a_real_thread() -> None:
    wakers: list[Any] = []
    woken = Latch()

    def wait() -> None:
        wakers.append(make_waker())
        if wakers[0].wait(LIMIT_S):
            woken.open()

    Thread(wait, name="sleeper").start()
    while not wakers:
        gevent.sleep(0.001)
    wakers[0].wake()

    assert woken.wait(LIMIT_S)


def check_a_greenlet_wakes_a_greenlet() -> None:
    waker = make_waker()
    gevent.spawn(waker.wake)

    assert waker.wait(LIMIT_S)


def check_a_wake_is_kept_until_a_wait_takes_it() -> None:
    waker = make_waker()
    waker.wake()
    waker.wake()

    assert waker.wait(0)
    assert not waker.wait(0)
    assert not waker.wait(0.001)


def check_a_stale_wake_does_not_end_a_later_wait() -> None:
    waker = make_waker()
    waker.wake()  # its call on the loop comes while the second wait sleeps
    assert waker.wait(0)
    began = time.monotonic()

    assert not waker.wait(0.03)

    assert time.monotonic() - began >= 0.025


def check_a_wait_ends_in_time_after_input_and_computing() -> None:
    ours, theirs = socket.socketpair()

    def wait() -> float:
        ours.recv(1)
        busy(0.03)  # the loop's clock is behind now
        began = time.monotonic()
        assert not make_waker().wait(0.01)
        return time.monotonic() - began

    for _ in range(5):
        waiting = gevent.spawn(wait)
        gevent.sleep(0.005)
        theirs.send(b"x")
        assert 0.009 <= waiting.get(timeout=2) < 1


def check_short_waits_of_many_greenlets_all_end() -> None:
    def wait() -> None:
        waker = make_waker()
        for _ in range(30):
            waker.wait(0.0003)

    all_end([gevent.spawn(wait) for _ in range(200)])


def check_a_latch_wakes_a_thousand_greenlets_from_a_real_thread() -> None:
    latch = Latch()
    waiting = [gevent.spawn(latch.wait, LIMIT_S) for _ in range(1000)]
    gevent.sleep(0)

    Thread(latch.open, name="opener").start()

    all_end(waiting)
    assert all(each.value for each in waiting)


def check_threads_and_greenlets_are_woken_together() -> None:
    wakers, woken = [make_waker() for _ in range(3)], []
    ready = Latch()

    def wait() -> None:
        wakers.append(make_waker())
        ready.open()
        woken.append(wakers[-1].wait(LIMIT_S))

    thread = Thread(wait, name="sleeper").start()
    assert ready.wait(LIMIT_S)
    Thread(lambda: wake_all(wakers), name="waker").start()

    assert all(waker.wait(LIMIT_S) for waker in wakers[:3])
    assert thread.join(LIMIT_S)
    assert woken == [True]


def check_a_mutex_is_held_by_one_of_threads_and_greenlets() -> None:
    mutex, inside, most = Mutex(), [0], [0]

    def work(pause: Callable[[float], None]) -> None:
        for _ in range(30):
            with mutex:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                pause(0.0001)
                inside[0] -= 1

    threads = [Thread(lambda: work(_native_sleep), name=f"t{n}").start() for n in range(3)]
    greenlets = [gevent.spawn(work, gevent.sleep) for _ in range(5)]
    all_end(greenlets)

    assert all(thread.join(LIMIT_S) for thread in threads)
    assert most == [1]


def check_a_mutex_is_handed_over_first_come_first_served() -> None:
    mutex, order = Mutex(), []

    def take(number: int) -> None:
        with mutex:
            order.append(number)
            gevent.sleep(0)

    with mutex:
        waiting = [gevent.spawn(take, number) for number in range(20)]
        gevent.sleep(0.001)
    all_end(waiting)

    assert order == list(range(20))


def check_a_killed_waiter_does_not_keep_a_mutex() -> None:
    mutex = Mutex()
    with mutex:
        waiting = [gevent.spawn(mutex.__enter__) for _ in range(3)]
        gevent.sleep(0.001)
        gevent.killall(waiting[:2])

    waiting[2].get(timeout=2)


def check_a_waiter_killed_at_its_turn_lets_the_next_one_in() -> None:
    mutex = Mutex()
    with mutex:
        first, second = (gevent.spawn(mutex.__enter__) for _ in range(2))
        gevent.sleep(0.001)
        first.kill(block=False)  # it dies when it runs next: by then it has been woken

    second.get(timeout=2)
    assert first.dead


def check_a_thread_is_a_real_thread() -> None:
    idents: list[int] = []
    thread = Thread(lambda: idents.append(_native_ident()), name="real").start()

    assert thread.join(LIMIT_S)
    assert idents
    assert idents[0] != _native_ident()


def check_a_thread_that_blocks_holds_up_no_greenlet() -> None:
    ticks = [0]

    def tick() -> None:
        while True:
            ticks[0] += 1
            gevent.sleep(0.001)

    ticking = gevent.spawn(tick)
    thread = Thread(lambda: _native_sleep(0.1), name="blocked").start()
    assert thread.join(LIMIT_S)
    ticking.kill()

    assert ticks[0] > 10


def check_twenty_threads_run_asyncio_at_once() -> None:
    results: list[int] = []

    async def work(number: int) -> None:
        await asyncio.sleep(0.01)
        results.append(number)

    threads = [
        Thread(lambda n=number: asyncio.run(work(n)), name=f"loop-{number}").start()  # type: ignore[misc]
        for number in range(20)
    ]

    assert all(thread.join(LIMIT_S) for thread in threads)
    assert sorted(results) == list(range(20))


def check_a_thread_has_its_name_and_leaves_nothing_behind() -> None:
    names: list[str] = []
    before = len(threading.enumerate())

    for number in range(50):
        thread = Thread(
            lambda: names.append(threading.current_thread().name), name=f"job-{number}"
        ).start()
        assert thread.join(LIMIT_S)

    assert names == [f"job-{number}" for number in range(50)]
    assert len(threading.enumerate()) <= before + 2
    assert not platform.native_idents - {_native_ident()} or len(platform.native_idents) <= 12


def check_the_loop_runs_while_a_call_is_offloaded() -> None:
    ticks: list[int] = []
    ticking = gevent.spawn(lambda: [(ticks.append(1), gevent.sleep(0.001)) for _ in range(1000)])

    assert threads.offload(lambda: (_native_sleep(0.05), 7)[1]) == 7
    ticking.kill()

    assert len(ticks) > 5


def check_what_an_offloaded_call_raises_comes_back() -> None:
    try:
        threads.offload(lambda: 1 / 0)
    except ZeroDivisionError:
        return
    raise AssertionError("it did not raise")


def check_a_greenlet_is_spawned_on_the_loop_from_any_thread() -> None:
    loop.adopt_event_loop()
    idents: list[int] = []
    done = Latch()

    def run() -> None:
        idents.append(_native_ident())
        done.open()

    Thread(lambda: loop.spawn_greenlet(run), name="spawner").start()

    assert done.wait(LIMIT_S)
    assert idents == [_native_ident()]


def check_readers_are_woken_by_appends_of_a_real_thread() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        for storage in (MemoryStorage(), SqliteStorage(path / "s.db", blobs=path / "blobs")):
            storage.open(timeout=1)
            read_by_many_greenlets(storage)
            storage.close()


def read_by_many_greenlets(storage: Any) -> None:
    job = new_job(storage)

    def read() -> list[int]:
        found: list[int] = []
        page = None
        while page is None or not page.closed or len(found) < page.last:
            page = storage.log.read(job, len(found), timeout=LIMIT_S)
            found += seqs(page.events)
        return found

    def write() -> None:
        for _ in range(50):
            storage.log.append(job, [delta()])
        storage.log.append(job, [completed()])

    readers = [gevent.spawn(read) for _ in range(100)]
    Thread(write, name="writer").start()

    all_end(readers)
    assert all(reader.value == list(range(1, 53)) for reader in readers)


def check_greenlets_and_threads_append_to_one_log() -> None:
    with tempfile.TemporaryDirectory() as folder:
        storage = SqliteStorage(Path(folder) / "s.db", blobs=Path(folder) / "blobs")
        storage.open(timeout=1)
        job = new_job(storage)

        def write() -> None:
            for _ in range(20):
                storage.log.append(job, [delta()])

        threads = [Thread(write, name=f"writer-{n}").start() for n in range(3)]
        all_end([gevent.spawn(write) for _ in range(10)])

        assert all(thread.join(LIMIT_S) for thread in threads)
        assert seqs(storage.log.page(job, 0, 500).events) == list(range(1, 262))
        storage.close()


def check_a_server_that_is_named_by_its_address_is_not_looked_up() -> None:
    hub = gevent.get_hub()
    hub.resolver = object()  # whoever asks it fails
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = f"http://127.0.0.1:{listener.getsockname()[1]}"
            with Exchange(Dialer(address)) as exchange:
                exchange.connect(LIMIT_S)
    finally:
        del hub.resolver


def check_the_longest_idle_connections_are_ended_when_there_are_too_many() -> None:
    idle, ended = IdleConnections(keep_s=LIMIT_S, most=2, settle_s=0.05), []

    def serve(number: int) -> None:
        with idle.wait():
            pass  # its first request is there
        with idle.wait():
            gevent.sleep(LIMIT_S)
        ended.append(number)

    serving = [gevent.spawn(serve, number) for number in range(5)]
    gevent.joinall(serving[:3], timeout=LIMIT_S / 2)
    assert ended == [0, 1, 2]

    idle.end_all()
    all_end(serving)


def check_a_connection_that_is_idle_for_a_moment_is_not_one_too_many() -> None:
    idle, asked = IdleConnections(keep_s=LIMIT_S, most=1, settle_s=LIMIT_S), Latch()
    kept = []

    def serve() -> None:
        with idle.wait():
            pass
        with idle.wait():
            kept.append(asked.wait(LIMIT_S / 2))

    serving = [gevent.spawn(serve) for _ in range(5)]
    gevent.sleep(0.05)  # several turns of the loop
    asked.open()

    all_end(serving)
    assert kept == [True] * 5


def check_a_connection_that_is_served_again_is_not_ended() -> None:
    idle, over = IdleConnections(keep_s=LIMIT_S, most=1, settle_s=0), Latch()

    def serve() -> bool:
        with idle.wait():
            pass
        with idle.wait():
            pass  # its next request has come
        return over.wait(LIMIT_S / 2)

    serving = [gevent.spawn(serve) for _ in range(3)]
    gevent.sleep(0)
    idle.end_all()
    gevent.sleep(0)
    over.open()

    all_end(serving)
    assert all(each.value for each in serving)


CHECKS = {
    name.removeprefix("check_"): value
    for name, value in list(globals().items())
    if name.startswith("check_")
}


def main() -> None:
    """Run all checks; print what became of each: an empty text, or why it failed."""
    found = {}
    for name, check in CHECKS.items():
        try:
            gevent.with_timeout(LIMIT_S, gevent.spawn(check).get)
            found[name] = ""
        except (Exception, gevent.Timeout):  # noqa: BLE001 - the test shows it
            found[name] = traceback.format_exc()
    sys.stdout.write(json.dumps(found))
