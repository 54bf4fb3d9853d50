"""Records the exchanges of `exchanges/`: what a real server said, cut and mixed as networks do.

    python -m tests.client.record http://127.0.0.1:8000

The server runs with STREAMING_TASKS=tests.e2e.e2e_tasks. docs/clients.md describes the files.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import requests

from tests.e2e.clients import Api

FOLDER = Path(__file__).parent / "exchanges"
STREAM = {"Content-Type": "text/event-stream; charset=utf-8"}
JSON = {"Content-Type": "application/json"}
PROBLEM = {"Content-Type": "application/problem+json"}
Json = Any


def stream_of(url: str, path: str) -> str:
    """All that the server says over SSE."""
    headers = {"Accept": "text/event-stream"}
    return requests.get(f"{url}{path}", headers=headers, timeout=30).content.decode()


def frames(text: str) -> list[str]:
    return [frame + "\n\n" for frame in text.split("\n\n") if frame]


def streamed(*body: str, then: str = "end", headers: Json = STREAM, status: int = 200) -> Json:
    return {"status": status, "headers": headers, "body": list(body), "then": then}


def exchange(target: str, answer: Json) -> Json:
    return {"target": target, "answer": answer}


def write(name: str, title: str, jobs: dict[str, int], exchanges: list[Json], **more: Json) -> None:
    found = {"title": title, "watch": {"jobs": jobs, "types": [], **more.pop("watch", {})}}
    text = json.dumps({**found, "exchanges": exchanges, **more}, indent=1, ensure_ascii=False)
    (FOLDER / f"{name}.json").write_text(text + "\n")


def main(url: str) -> None:
    api = Api(url)
    job = api.run("generator", {"words": ["Grüße, ", "世界 ", "🚀\n", "line\u2028end"]})["id"]
    other = api.run("failing")["id"]
    one_job(api, job)
    refusals(job)
    many(api, job, other)


def one_job(api: Api, job: str) -> None:
    log, path = api.log_of(job), f"/v1/jobs/{job}/events"
    opening, *events = frames(stream_of(api.url, path))
    last = len(events)

    def rest(after: int) -> Json:
        return streamed(*frames(stream_of(api.url, f"{path}?after={after}")))

    whole = {"log": log, "events": log}
    first = f"{path}?after=0"
    write("whole", "a stream to its end", {job: 0}, [exchange(first, rest(0))], **whole)
    write(
        "cut-in-a-frame",
        "a stream is cut in the middle of a frame",
        {job: 0},
        [
            exchange(first, streamed(opening, *events[:2], events[2][:-9], then="cut")),
            exchange(f"{path}?after=2", rest(2)),
        ],
        **whole,
    )
    write(
        "clean-end-in-a-frame",
        "a proxy ends the answer in good order, but in the middle of a frame",
        {job: 0},
        [
            exchange(first, streamed(opening, events[0], events[1].rstrip("\n"))),
            exchange(f"{path}?after=1", rest(1)),
        ],
        **whole,
    )
    write(
        "repeated",
        "what was given is sent again, and left out",
        {job: 0},
        [
            exchange(first, streamed(opening, *events[:3], then="cut")),
            exchange(f"{path}?after=3", streamed(opening, *events)),
        ],
        **whole,
    )
    closing = 'data: {"type":"stream.closing","data":{"reason":"rotation","retry_s":0.2}}\n\n'
    write(
        "rotation",
        "the server closes the stream, and wants the client back",
        {job: 0},
        [
            exchange(first, streamed(opening, *events[:2], closing)),
            exchange(f"{path}?after=2", rest(2)),
        ],
        **whole,
    )
    shown = {"type": "stream.snapshot", "job": job, "data": {"seq": 3, "job": api.snapshot(job)}}
    gap = {"type": "stream.gap", "job": job, "data": {"from": 1, "to": 3}}
    lines = [f"data: {json.dumps(gap)}\n\n", f"id: 3\ndata: {json.dumps(shown)}\n\n"]
    write(
        "gap",
        "retention has removed the first events: a gap, the state, then what follows",
        {job: 0},
        [
            exchange(first, streamed(opening, *lines, then="cut")),
            exchange(f"{path}?after=3", rest(3)),
        ],
        log=log,
        events=[gap, shown, *log[3:]],
    )
    write(
        "nothing-new",
        "the job has ended, and all was seen: 204",
        {job: last},
        [exchange(f"{path}?after={last}", streamed(status=204, headers={}))],
        log=log,
        events=[],
    )
    merged = {**log[3], "from": 2}
    write(
        "merged",
        "an event stands for those before it: the ranges tile the log",
        {job: 0},
        [
            exchange(
                first,
                streamed(opening, events[0], f"id: 4\ndata: {json.dumps(merged)}\n\n", then="cut"),
            ),
            exchange(f"{path}?after=4", rest(4)),
        ],
        log=log,
        events=[log[0], merged, *log[4:]],
    )
    odd = ": heartbeat\r\n\r\n" + "".join(events).replace("\n", "\r\n").replace("data: ", "data:")
    write(
        "line-ends",
        "a byte order mark, lines that end in CR LF, comments, no space after the colon",
        {job: 0},
        [exchange(first, streamed("\ufeff" + opening, odd))],
        **whole,
    )
    started = json.dumps(log[1], ensure_ascii=False)
    moved = [opening, f"id: 2\ndata: {started}\n\n", "id: 4\n\n"]
    write(
        "filtered",
        "only some types: positions move on over what is left out",
        {job: 0},
        [
            exchange(f"{path}?after=0&types=job.started", streamed(*moved, then="cut")),
            exchange(f"{path}?after=4&types=job.started", streamed(opening, events[-1])),
        ],
        watch={"types": ["job.started"]},
        log=log,
        events=[log[1], log[-1]],
    )
    polls(job, log)


def polls(job: str, log: list[Json]) -> None:
    """Where streams do not get through: pages."""
    path = f"/v1/jobs/{job}"
    bad = streamed("<h1>Bad gateway</h1>", status=502, headers={"Content-Type": "text/html"})
    portal = streamed("<h1>Log in</h1>", headers={"Content-Type": "text/html"})
    for name, title, answer in (
        ("no-streams", "a proxy refuses every stream: long polling takes over", bad),
        ("not-a-stream", "something answers that is no event stream", portal),
    ):
        write(
            name,
            title,
            {job: 0},
            [exchange(f"{path}/events?after=*", answer) for _ in range(2)],
            watch={"fallback": "poll"},
            log=log,
            events=log,
        )


def refusals(job: str) -> None:
    path = f"/v1/jobs/{job}/events"
    problem = {"type": "about:blank", "title": "Not Found", "status": 404, "code": "job_not_found"}
    detail = {**problem, "detail": f"there is no job {job}", "retryable": False}
    answer = streamed(json.dumps(detail), status=404, headers=PROBLEM)
    target = f"{path}?after=0"
    write(
        "unknown",
        "there is no such job: no other try",
        {job: 0},
        [exchange(target, answer)],
        log=None,
        events=[],
        error={"status": 404, "code": "job_not_found"},
    )


def many(api: Api, job: str, other: str) -> None:
    """Two jobs over one connection."""
    logs = {each: api.log_of(each) for each in (job, other)}
    query = f"/v1/events?job={job}&job={other}&after="
    opening, *events = frames(stream_of(api.url, f"/v1/events?job={job}&job={other}"))
    seen: dict[str, int] = {job: 0, other: 0}
    given = [json.loads(frame.split("data: ", 1)[1]) for frame in events]
    for event in given[:4]:
        seen[event["job"]] = event["seq"]
    position = ",".join(f"{each}:{seq}" for each, seq in seen.items())
    write(
        "feed",
        "two jobs over one connection, which is cut; one fails",
        {job: 0, other: 0},
        [
            exchange(f"{query}{job}:0,{other}:0", streamed(opening, *events[:4], then="cut")),
            exchange(f"{query}{position}", streamed(opening, *events[4:])),
        ],
        logs=logs,
        events=given,
    )


if __name__ == "__main__":
    main(sys.argv[1])
