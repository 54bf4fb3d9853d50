"""Commands that look at jobs: `list`, `show`, `text`, `logs`."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable

import click

from streaming.cli import codes
from streaming.cli.completion import complete_job, complete_task
from streaming.cli.context import Context, coming_back, with_json
from streaming.cli.output import emit, emit_line, say, short
from streaming.client import ENDED, Event, Job
from streaming.client.types import JobsQuery
from streaming.events.types import Status
from streaming.events.vocabulary import JsonMapping

STATUSES = ("queued", "running", "waiting_for_input", "cancelling", *sorted(ENDED))


@click.command("list")
@click.option("--status", type=click.Choice(STATUSES), help="only jobs of this status")
@click.option("--task", shell_complete=complete_task, help="only jobs of this task")
@click.option(
    "--limit", "-n", type=click.IntRange(1), default=20, show_default=True, help="jobs, at most"
)
@with_json
@click.pass_obj
def list_jobs(context: Context, status: Status | None, task: str | None, limit: int) -> int:
    """List jobs, newest first."""
    query: JobsQuery = {"limit": min(limit, 500)}
    if status is not None:
        query["status"] = status
    if task is not None:
        query["task"] = task
    with context.client() as client:
        found = list(itertools.islice(client.jobs(**query), limit))
    if context.json:
        emit(found)
    elif sys.stdout.isatty():
        from streaming.cli.tables import print_jobs  # rich takes a while to load

        print_jobs(found)
    else:
        for job in found:
            percent = job["progress"]["percent"]
            click.echo(f"{job['id']}  {job['status']:17} {percent:5.0f} %  {job['task']}")
    return codes.DONE


@click.command()
@click.argument("job", shell_complete=complete_job)
@with_json
@click.pass_obj
def show(context: Context, job: str) -> int:
    """Show JOB: how it stands, its steps, its output or error."""
    with context.client() as client:
        found = client.job(job)
    if context.json:
        emit(found)
    else:
        for name, value in _lines(found):
            say(f"{name:12} {value}")
    return codes.DONE


def _lines(job: Job) -> Iterable[tuple[str, str]]:
    shown: JsonMapping = {**job}
    progress = job["progress"]
    eta_s = progress["eta_s"]
    left = f", about {eta_s:.0f} s left" if eta_s and job["status"] not in ENDED else ""
    yield "job", job["id"]
    yield "task", job["task"] + (f" ({shown['title']})" if shown.get("title") else "")
    yield "status", f"{job['status']}, {progress['percent']:.0f} %{left}"
    for name in ("created_at", "started_at", "finished_at"):
        if shown.get(name):
            yield name.removesuffix("_at"), str(shown[name])
    if shown.get("queue_position"):
        yield "queue", f"place {shown['queue_position']}"
    yield from _content_lines(job, shown)


def _content_lines(job: Job, shown: JsonMapping) -> Iterable[tuple[str, str]]:
    if "input" in shown:
        yield "input", short(json.dumps(shown["input"], ensure_ascii=False), 300)
    for step in job["steps"]:
        took = f" {step['duration_s']:.1f} s" if step["duration_s"] is not None else ""
        yield "step", f"[{step['index']}/{step['total']}] {step['title']}: {step['status']}{took}"
    for artifact in job["artifacts"]:
        yield "artifact", f"{artifact['name']} ({artifact['media_type']}, {artifact['size']} bytes)"
    asked = job["input_request"]
    if asked is not None:
        yield "asks", f"{asked['prompt']} (streaming answer {job['id']} VALUE)"
        if asked["schema"]:
            yield "wants", short(json.dumps(asked["schema"], ensure_ascii=False), 300)
    if job["text"]:
        yield "text", f"{short(job['text'], 200)} (streaming text {job['id']})"
    if job["output"] is not None:
        yield "output", short(json.dumps(job["output"], ensure_ascii=False), 1000)
    if job["error"] is not None:
        yield "error", f"{job['error'].get('code')}: {job['error'].get('detail')}"


@click.command()
@click.argument("job", shell_complete=complete_job)
@click.option("--follow", "-f", is_flag=True, help="wait for what is still to come")
@with_json
@click.pass_obj
def text(context: Context, job: str, follow: bool) -> int:
    """Print JOB's text so far."""
    with context.client() as client, coming_back(job, f"streaming text {job} --follow"):
        found = client.wait(job) if follow else client.job(job)
    if context.json:
        emit({"text": found["text"], "texts": found["texts"], "status": found["status"]})
        return codes.DONE
    say(found["text"], newline=not found["text"].endswith("\n"))
    return codes.DONE


@click.command()
@click.argument("job", shell_complete=complete_job)
@click.option("--follow", "-f", is_flag=True, help="wait for what is still to come")
@with_json
@click.pass_obj
def logs(context: Context, job: str, follow: bool) -> int:
    """Print JOB's log lines and how it went: started, asked, failed. --json: each in a line."""
    with context.client() as client:
        events = client.watch(job) if follow else client.export(job)
        with coming_back(job, f"streaming logs {job} --follow"):
            for event in events:
                line = _log_line(event)
                if line is not None and context.json:
                    emit_line(event)
                elif line is not None:
                    say(line)
    return codes.DONE


def _log_line(event: Event) -> str | None:
    if event["type"] == "log":
        level, said = event["data"]["level"], event["data"]["message"]
    elif event["type"] == "job.started":
        level, said = "info", f"attempt {event['data']['attempt']} started"
    elif event["type"] == "job.failed":
        level, said = "error", str(event["data"]["error"].get("detail"))
    elif event["type"] == "job.cancelled":
        level, said = "info", f"cancelled: {event['data'].get('reason') or 'no reason given'}"
    elif event["type"] == "job.completed":
        level, said = "info", "completed"
    elif event["type"] == "input.requested":
        level, said = "info", f"asks: {event['data']['prompt']}"
    elif event["type"] == "alert":
        level, said = event["data"]["severity"], event["data"]["message"]
    else:
        return None
    return f"{event['at']} {level:7} {said}"
