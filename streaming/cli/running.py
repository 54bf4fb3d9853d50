"""Commands that start jobs and watch them: `tasks`, `run`, `watch`, `retry`."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from typing import Protocol, Self

import click

from streaming.cli import codes
from streaming.cli.completion import complete_job, complete_task
from streaming.cli.context import Context, Interrupted, with_json
from streaming.cli.inputs import InputReader
from streaming.cli.output import emit, emit_line, note, short
from streaming.cli.plain import PlainView
from streaming.client import Client, Job
from streaming.client.types import JobOptions
from streaming.events.vocabulary import JsonMapping


class View(AbstractContextManager["View"], Protocol):
    """Shows a job's events."""

    def __enter__(self) -> Self: ...

    def show(self, event: JsonMapping) -> None: ...


class JsonView:
    """Each event as a line of JSON."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left open."""

    def show(self, event: JsonMapping) -> None:
        emit_line(event)


@click.command()
@click.argument("task", required=False, shell_complete=complete_task)
@with_json
@click.pass_obj
def tasks(context: Context, task: str | None) -> int:
    """List the tasks; of one TASK, what its input may be."""
    with context.client() as client:
        found = client.tasks()
    if task is not None:
        found = [each for each in found if each["name"] == task]
        if not found:
            raise click.UsageError(f"there is no task {task}")
        if context.json:
            emit(found[0])
        else:
            _describe(found[0])
        return codes.DONE
    if context.json:
        emit(found)
        return codes.DONE
    for each in found:
        click.echo(f"{each['name']:20} {each['title']}: {each['description']}")
    return codes.DONE


def _describe(task: JsonMapping) -> None:
    click.echo(f"{task['name']}: {task['title']}\n{task['description']}")
    schema = task.get("input_schema") or {}
    required = schema.get("required", [])
    for name, member in schema.get("properties", {}).items():
        kinds = [each.get("type", "any") for each in [member, *member.get("anyOf", [])]]
        shown = (
            " or ".join(kind for kind in map(str, kinds) if kind not in ("null", "any")) or "any"
        )
        more = "required" if name in required else f"default {member.get('default')!r}"
        click.echo(f"  {name:20} {shown:16} {short(member.get('description', ''), 70)} ({more})")
    for step in task.get("steps", []):
        click.echo(f"  step {step.get('title') or step.get('id')}")


@click.command()
@click.argument("task", shell_complete=complete_task)
@click.argument("input", nargs=-1)
@click.option(
    "--file", "files", multiple=True, metavar="NAME=PATH", help="upload PATH as input NAME"
)
@click.option("--detach", "-d", is_flag=True, help="print the job's id and do not watch it")
@click.option("--metadata", "-m", multiple=True, metavar="KEY=VALUE", help="kept with the job")
@click.option("--timeout", "timeout_s", type=float, metavar="S", help="seconds that it may run")
@click.option("--idempotency-key", metavar="KEY", help="the same key and input: the same job")
@with_json
@click.pass_obj
def run(
    context: Context,
    task: str,
    input: tuple[str, ...],
    files: tuple[str, ...],
    detach: bool,
    metadata: tuple[str, ...],
    timeout_s: float | None,
    idempotency_key: str | None,
) -> int:
    """Start a job of TASK and watch it to its end.

    INPUT is key=value; key=@FILE for a file's text, or an upload where the task takes one; an
    object as JSON; @FILE for a file of JSON; or - for JSON on standard input.
    """
    with context.client() as client:
        reader = InputReader(_schema_of(client, task, input), client.upload)
        given = reader.read(input)
        for name, path in (_pair(each, "--file", "NAME=PATH") for each in files):
            given[name] = client.upload(path)
        options: JobOptions = {} if timeout_s is None else {"timeout_s": timeout_s}
        if metadata:
            options["metadata"] = dict(_pair(each, "--metadata", "KEY=VALUE") for each in metadata)
        job = client.submit(task, given, idempotency_key=idempotency_key, **options)
        return begin(context, client, job, detach=detach)


@click.command()
@click.argument("job", shell_complete=complete_job)
@click.option("--detach", "-d", is_flag=True, help="print the new job's id and do not watch it")
@with_json
@click.pass_obj
def retry(context: Context, job: str, detach: bool) -> int:
    """Start a new job with all that was asked of JOB, and watch it."""
    with context.client() as client:
        return begin(context, client, client.retry(job), detach=detach)


@click.command()
@click.argument("job", shell_complete=complete_job)
@click.option(
    "--after", type=click.IntRange(min=0), default=0, show_default=True, help="the last event seen"
)
@click.option("--raw", is_flag=True, hidden=True, help="as --json")
@with_json
@click.pass_obj
def watch(context: Context, job: str, after: int, raw: bool) -> int:
    """Watch JOB to its end; the exit code says which. With --json, each event is a line."""
    context.json = context.json or raw
    with context.client() as client:
        client.job(job)  # a mistyped id, or a server that is away, is known at once
        return follow(context, client, job, after)


def begin(context: Context, client: Client, job: Job, *, detach: bool) -> int:
    """Tell of a new job, and watch it where that is wanted."""
    if not detach:
        note(f"job {job['id']}")
        return follow(context, client, job["id"], 0)
    if context.json:
        emit(job)
    else:
        click.echo(job["id"])
    return codes.DONE


def follow(context: Context, client: Client, job: str, after: int) -> int:
    """Show a job's events to its end; the exit code."""
    watch = client.watch(job, after)
    try:
        with _view(context) as view:
            for event in watch:
                view.show(event)
    except KeyboardInterrupt:
        seen = watch.positions[job]
        raise Interrupted.at(job, f"streaming watch {job} --after {seen}") from None
    finally:
        watch.close()
    # A watch that began behind the end had no last event.
    return codes.OF_STATUS.get(client.job(job)["status"], codes.FAILED)


def _view(context: Context) -> View:
    if context.json:
        return JsonView()
    if sys.stdout.isatty() and sys.stderr.isatty():
        from streaming.cli.live import LiveView  # rich takes a while to load

        return LiveView()
    return PlainView()


def _schema_of(client: Client, task: str, input: tuple[str, ...]) -> JsonMapping:
    """The task's input schema, where an argument needs it."""
    if not any("=" in each for each in input):
        return {}
    schemas = {each["name"]: each.get("input_schema") or {} for each in client.tasks()}
    return schemas.get(task, {})


def _pair(text: str, option: str, form: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise click.UsageError(f"{option} is {form}, and not {text!r}")
    return name, value
