"""Tasks made of what people write in them: processes, threads, event loops of their own."""

from __future__ import annotations

import asyncio
import atexit
import ctypes
import ctypes.util
import multiprocessing
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import requests
from pydantic import BaseModel
from sqlalchemy import create_engine, text
from sqlalchemy.pool import QueuePool

from streaming import JobContext, task

Case = Callable[["Asked"], Any]


class Asked(BaseModel):
    case: str
    url: str = ""
    path: str = ""
    #: How long whatever it is takes, in seconds.
    seconds: float = 0.1


def square(number: int) -> int:
    return number * number


def nap(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def _subprocess_run(asked: Asked) -> Any:
    command = ["sh", "-c", f"sleep {asked.seconds}; echo hi"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _pipes(asked: Asked) -> Any:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cat:
        assert cat.stdin is not None
        assert cat.stdout is not None
        cat.stdin.write(b"one\n")
        cat.stdin.flush()
        first = cat.stdout.readline()
        time.sleep(asked.seconds)
        return first.decode() + cat.communicate(b"two\n")[0].decode()


def _terminated(asked: Asked) -> Any:
    with subprocess.Popen(["sleep", "600"]) as sleeping:
        time.sleep(asked.seconds)
        sleeping.terminate()
        return sleeping.wait(5)


def _os_system(asked: Asked) -> Any:
    return os.system(f"sleep {asked.seconds}; exit 3") >> 8


def _pool(method: str) -> Case:
    def run(asked: Asked) -> Any:
        with multiprocessing.get_context(method).Pool(2) as pool:
            pool.map(nap, [asked.seconds] * 2)
            return pool.map(square, range(5))

    return run


def _process(asked: Asked) -> Any:
    process = multiprocessing.Process(target=nap, args=(600,))
    process.start()
    time.sleep(asked.seconds)
    process.terminate()
    process.join(5)
    return process.exitcode


def _executor(asked: Asked) -> Any:
    with ProcessPoolExecutor(2) as executor:
        list(executor.map(nap, [asked.seconds] * 2))
        return list(executor.map(square, range(5)))


def _threads(asked: Asked) -> Any:
    with ThreadPoolExecutor(4) as executor:
        began = time.monotonic()
        list(executor.map(nap, [asked.seconds] * 4))
        assert time.monotonic() - began < 3 * asked.seconds + 1, "they ran one after the other"
        return list(executor.map(square, range(5)))


def _timer(asked: Asked) -> Any:
    fired = threading.Event()
    threading.Timer(asked.seconds, fired.set).start()
    return fired.wait(600)


def _condition(asked: Asked) -> Any:
    condition, lock, said = threading.Condition(), threading.Lock(), []

    def speak() -> None:
        time.sleep(asked.seconds)
        with lock, condition:
            said.append("word")
            condition.notify()

    thread = threading.Thread(target=speak)
    with condition:
        thread.start()
        assert condition.wait_for(lambda: said, timeout=600)
    thread.join()
    return said


def _run_in_thread(asked: Asked) -> Any:
    found: list[Any] = []

    async def wait() -> None:
        await asyncio.sleep(asked.seconds)
        found.append("waited")

    threads = [threading.Thread(target=lambda: asyncio.run(wait())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def _asyncio_run(asked: Asked) -> Any:
    async def both() -> list[int]:
        naps = [asyncio.to_thread(nap, asked.seconds) for _ in range(3)]
        return await asyncio.gather(*naps)

    return len(asyncio.run(both()))


def _async_subprocess(asked: Asked) -> Any:
    async def run() -> str:
        command = ("sh", "-c", f"sleep {asked.seconds}; echo hi")
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        return (await process.communicate())[0].decode()

    return asyncio.run(run())


def _signal(asked: Asked) -> Any:
    time.sleep(asked.seconds)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def _released(asked: Asked) -> Any:
    """C code that lets other threads run, beside one that counts."""
    data, until = os.urandom(1 << 20), time.monotonic() + asked.seconds
    counted = [0]

    def count() -> None:
        while time.monotonic() < until:
            counted[0] += 1
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    while time.monotonic() < until:
        zlib.compress(data, 1)
    thread.join()
    return counted[0] > 5


def _sqlalchemy(asked: Asked) -> Any:
    engine = create_engine(f"sqlite:///{asked.path}", poolclass=QueuePool, pool_size=1)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS words (word TEXT)"))

    def write(number: int) -> None:
        with engine.begin() as connection:
            time.sleep(asked.seconds / 4)
            connection.execute(text("INSERT INTO words VALUES (:word)"), {"word": str(number)})

    with ThreadPoolExecutor(4) as executor:
        list(executor.map(write, range(4)))
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT word FROM words ORDER BY word")).scalars().all()
    engine.dispose()
    return list(rows)


def _requests(asked: Asked) -> Any:
    time.sleep(asked.seconds)
    return requests.get(f"{asked.url}/healthz", timeout=10).status_code


def _httpx(asked: Asked) -> Any:
    async def get() -> list[int]:
        async with httpx.AsyncClient(verify=False) as client:
            await asyncio.sleep(asked.seconds)
            answers = await asyncio.gather(*[client.get(f"{asked.url}/healthz")] * 1)
            return [answer.status_code for answer in answers]

    return asyncio.run(get())


def _fork_that_raises(asked: Asked) -> Any:
    child = os.fork()
    if child == 0:
        time.sleep(asked.seconds)
        raise SystemExit(5)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _fork_that_returns(asked: Asked) -> Any:
    child = os.fork()
    if child == 0:
        time.sleep(asked.seconds)
        return "the child's"
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def connections_to_redis() -> list[int]:
    """Descriptors of this process that lead to the server's Redis, where it has one."""
    port = urlsplit(os.environ.get("REDIS_URL", "")).port
    found = psutil.Process().net_connections("tcp")
    return [each.fd for each in found if each.raddr and each.raddr.port == port]


def _fork_of_a_server(asked: Asked) -> Any:
    time.sleep(asked.seconds)
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as executor:
        return executor.submit(connections_to_redis).result()


CASES: dict[str, Case] = {
    "subprocess.run": _subprocess_run,
    "popen-pipes": _pipes,
    "popen-terminate": _terminated,
    "os.system": _os_system,
    "pool-fork": _pool("fork"),
    "pool-spawn": _pool("spawn"),
    "pool-forkserver": _pool("forkserver"),
    "fork-raises": _fork_that_raises,
    "fork-returns": _fork_that_returns,
    "fork-of-a-server": _fork_of_a_server,
    "process-terminate": _process,
    "process-executor": _executor,
    "thread-executor": _threads,
    "timer": _timer,
    "condition": _condition,
    "asyncio.run-in-thread": _run_in_thread,
    "asyncio.to_thread": _asyncio_run,
    "asyncio-subprocess": _async_subprocess,
    "signal": _signal,
    "c-code": _released,
    "sqlalchemy": _sqlalchemy,
    "requests": _requests,
    "httpx": _httpx,
}

#: What each of them returns.
RESULTS: dict[str, Any] = {
    "subprocess.run": "hi\n",
    "popen-pipes": "one\ntwo\n",
    "popen-terminate": -15,
    "os.system": 3,
    "pool-fork": [0, 1, 4, 9, 16],
    "pool-spawn": [0, 1, 4, 9, 16],
    "pool-forkserver": [0, 1, 4, 9, 16],
    "fork-raises": 5,
    "fork-returns": 0,
    "fork-of-a-server": [],
    "process-terminate": -15,
    "process-executor": [0, 1, 4, 9, 16],
    "thread-executor": [0, 1, 4, 9, 16],
    "timer": True,
    "condition": ["word"],
    "asyncio.run-in-thread": ["waited"] * 3,
    "asyncio.to_thread": 3,
    "asyncio-subprocess": "hi\n",
    "c-code": True,
    "sqlalchemy": ["0", "1", "2", "3"],
    "requests": 200,
    "httpx": [200],
}


@task("code", input=Asked)
def code(ctx: JobContext, input: Asked) -> Any:
    """Do what people do."""
    ctx.text("begun ")
    return CASES[input.case](input)


@task("alarmed")
def alarmed(ctx: JobContext, input: Any) -> list[Any]:
    """Set alarms of each kind; then have children of its own that set one, and one takes it."""
    for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
        signal.setitimer(timer, 0.05)
    until = time.process_time() + 0.3
    while time.process_time() < until:  # two of them count processor time
        pass
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=each) for each in (_wait_for_alarm, _take_alarm)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    return [child.exitcode for child in children]


@task("registering", input=Asked)
def registering(ctx: JobContext, input: Asked) -> None:
    """Have something done at the end of the process; then something that takes for ever."""
    atexit.register(time.sleep, 600)
    atexit.register(Path(input.path).write_text, "ended")  # the last one is run first


def _wait_for_alarm() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    time.sleep(60)


def _take_alarm() -> None:
    signal.signal(signal.SIGALRM, lambda *_: os._exit(7))
    _wait_for_alarm()


@task("code-async", input=Asked)
async def code_async(ctx: JobContext, input: Asked) -> Any:
    """The event loop's own ways: a child process, and a thread."""
    ctx.text("begun ")
    command = ("sh", "-c", f"sleep {input.seconds}; echo hi")
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    said = (await process.communicate())[0].decode()
    return [said, await asyncio.to_thread(square, 3)]


@task("producer", input=Asked)
def producer(ctx: JobContext, input: Asked) -> Iterator[str]:
    """A thread that makes pieces, as models on one's own machine are streamed."""
    pieces: queue.Queue[str | None] = queue.Queue()

    def generate() -> None:
        for number in range(10):
            time.sleep(input.seconds)
            pieces.put(f"{number} ")
        pieces.put(None)

    thread = threading.Thread(target=generate)
    thread.start()
    while (piece := pieces.get(timeout=60)) is not None:
        yield piece
    thread.join()


@task("family")
def family(ctx: JobContext, input: dict[str, Any]) -> None:
    """Start children of several kinds, tell their numbers, and wait."""
    children = [subprocess.Popen(["sleep", "600"]).pid]
    forked = multiprocessing.get_context("fork").Process(target=nap, args=(600,))
    forked.start()
    children.append(forked.pid or 0)
    ctx.checkpoint({"children": children})
    ctx.text(" ".join(map(str, [os.getpid(), *children])))
    ctx.sleep(600)


@task("frozen")
def frozen(ctx: JobContext, input: dict[str, Any]) -> str:
    """Hold the interpreter in C code for so many seconds."""
    ctx.text("begun ")
    ctx.checkpoint({})
    if input.get("busy"):
        began = time.monotonic()
        _derive(200_000)
        _derive(int(200_000 * input["seconds"] / (time.monotonic() - began)))
    else:
        ctypes.PyDLL(None).sleep(int(input["seconds"]))  # which does not release the lock
    return "thawed"


def _derive(rounds: int) -> None:
    """Compute in C, and let no other thread run meanwhile."""
    crypto = ctypes.PyDLL(ctypes.util.find_library("crypto"))
    crypto.EVP_sha256.restype = ctypes.c_void_p
    key = ctypes.create_string_buffer(32)
    digest = ctypes.c_void_p(crypto.EVP_sha256())
    crypto.PKCS5_PBKDF2_HMAC(b"word", 4, b"salt", 4, rounds, digest, 32, key)


@task("dying")
def dying(ctx: JobContext, input: dict[str, Any]) -> None:
    """End the process, in one of the ways in which processes end."""
    ctx.text("begun ")
    ctx.checkpoint({})
    if input["how"] == "segv":
        ctypes.string_at(0)
    elif input["how"] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(int(input.get("code", 3)))


@task("where")
def where(ctx: JobContext, input: dict[str, Any]) -> dict[str, Any]:
    """What the process that runs it is like."""
    import streaming

    children: list[Any] = []
    with multiprocessing.get_context("fork").Pool(1) as pool:
        children = pool.apply(_of_child)
    return {
        "pid": os.getpid(),
        "role": streaming.role(),
        "gevent": "gevent" in sys.modules and threading.Thread.__module__,
        "nice": os.nice(0),
        "child": children,
    }


def _of_child() -> list[Any]:
    links = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is(fd)]
    return [links, signal.getsignal(signal.SIGTERM) == signal.SIG_DFL]


def _is(descriptor: str) -> bool:
    return os.path.exists(f"/proc/self/fd/{descriptor}")
