"""Writes down what a version of this program keeps in Redis, for the versions after it to read.

Run in the tree of that version, beside a Redis that is empty; the fixtures here were made so:

    git archive 97f3278 | tar x -C older && cd older
    python ../tests/storage/formats/write.py redis://127.0.0.1:6379/0 >../97f3278.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path.cwd()))

import redis

from streaming.events.event import Draft
from streaming.running.fleet import Worker
from streaming.running.queue import JobQueue
from streaming.storage.redis import RedisStorage
from streaming.storage.redis.connection import Server
from streaming.storage.rows import Submission
from streaming.storage.snapshots import Snapshots

URL = sys.argv[1]
ASKED = {
    "position": 0,
    "task": "diary",
    "input": {"path": "/tmp/diary"},
    "metadata": {"of": "an older version"},
    "on_disconnect": "continue",
    "disconnect_grace_s": 30.0,
    "timeout_s": 3600.0,
    "ttl_s": 86400.0,
}


#: How a key of each type is read.
READ: dict[str, Any] = {
    "string": lambda client, key: client.get(key),
    "hash": lambda client, key: client.hgetall(key),
    "zset": lambda client, key: client.zrange(key, 0, -1, withscores=True),
    "list": lambda client, key: client.lrange(key, 0, -1),
    "stream": lambda client, key: client.xrange(key),
}


def step(id: str, status: str) -> Draft:
    data = {"id": id, "index": 1, "total": 2, "title": id, "status": status}
    return Draft("step.updated", {**data, "duration_s": 1.5, "detail": None})


def write_jobs(storage: RedisStorage) -> None:
    """A job under way whose head is trimmed, one that has ended, and one that waits."""
    snapshots = Snapshots(storage.log, storage.index)
    ids = [f"job_01M8A0000000000000000000{n:02}" for n in range(3)]
    for n, job in enumerate(ids):
        key = f"key-{n}"
        storage.index.submit(Submission(job, "owner", "diary", Draft("job.queued", ASKED), key, ""))
    for job in ids[:2]:
        begun = [
            Draft("job.started", {"attempt": 1, "worker": "host:1"}),
            step("one", "running"),
            Draft("text.delta", {"item": "one", "text": "grüß "}),
            Draft("text.delta", {"item": "one", "text": "Gott 🚀"}),
            Draft("job.progress", {"percent": 50, "eta_s": 3, "basis": "measured", "message": ""}),
            Draft("metric", {"name": "loss", "value": 0.5, "unit": "1", "labels": {"of": "x"}}),
            Draft("alert", {"severity": "info", "rule": "r", "message": "m", "value": 1,
                            "state": "firing"}),
        ]  # fmt: skip
        storage.log.append(job, begun, attempt=1)
        kept = {"step:one": json.dumps("grüß Gott 🚀").encode(), "checkpoint:": b'{"at":7}'}
        storage.log.append(job, [step("one", "completed")], attempt=1, records=kept)
        storage.log.append(job, [Draft("text.delta", {"item": "two", "text": "half a"})], attempt=1)
    base = snapshots.state_at(ids[0], 5)
    storage.log.trim(ids[0], 5, base.dump())
    storage.log.append(
        ids[1], [Draft("job.completed", {"output": {"text": "grüß Gott 🚀"}, "usage": None})],
        attempt=1,
    )  # fmt: skip
    # Until leases came, a viewer's position was a number.
    number = storage.viewers.enter.__annotations__["position"] == "int"
    storage.viewers.enter(ids[0], "sse", 7 if number else lambda: 7)  # type: ignore[arg-type]
    storage.viewers._tell_all(every=True)  # type: ignore[attr-defined]
    storage.blobs.put(f"{ids[0]}/chart.svg", [b"<svg/>"])


def write_queue(queue: JobQueue) -> None:
    """A message, and a worker that has another job."""
    queue._link.start()
    told = {"name": "host:1:abc", "threads": 4, "jobs": frozenset({"job_x"}), "stuck": 0}
    known = set(Worker.__dataclass_fields__)
    queue.fleet.tell(Worker(**told, **{"taken": frozenset()} if "taken" in known else {}))
    queue.put("job_01M8A000000000000000000002", **_put_options())
    queue.start()
    queue.stop()


def _put_options() -> dict[str, Any]:
    # In older versions a message said whether its job was on trial.
    return {"on_trial": False} if "on_trial" in JobQueue.put.__annotations__ else {}


def dump(client: redis.Redis) -> dict[str, Any]:
    """All keys with their type and content; bytes as Latin-1."""
    found: dict[str, Any] = {}
    for key in sorted(client.keys("*")):
        kind = client.type(key).decode()
        found[key.decode()] = {"type": kind, "value": plain(READ[kind](client, key))}
    return found


def plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, dict):
        return {plain(name): plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value


def main() -> None:
    storage = RedisStorage(URL)
    storage.open(timeout=1)
    write_jobs(storage)
    queue = JobQueue(Server(URL), timeout_s=10)
    write_queue(queue)
    with redis.Redis.from_url(URL, protocol=2) as client:
        sys.stdout.write(json.dumps(dump(client), indent=1) + "\n")
    storage.close()


if __name__ == "__main__":
    main()
