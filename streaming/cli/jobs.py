"""Commands that steer jobs and fetch what they made."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from streaming.cli import codes
from streaming.cli.completion import complete_job
from streaming.cli.context import Context, coming_back, with_json
from streaming.cli.inputs import InputReader, as_json, read_text
from streaming.cli.output import emit, note
from streaming.client import Client, Job
from streaming.events.vocabulary import Json, JsonMapping


@click.command()
@click.argument("job", shell_complete=complete_job)
@click.argument("value", nargs=-1, required=True)
@click.option("--request", metavar="R", help="the question; by default the one that is open")
@with_json
@click.pass_obj
def answer(context: Context, job: str, value: tuple[str, ...], request: str | None) -> int:
    """Answer what JOB asks. VALUE is JSON, text, key=value, @FILE or - (standard input)."""
    with context.client() as client:
        asked: JsonMapping = client.job(job)["input_request"] or {}
        if request is None:
            request = asked.get("request")
        schema = asked.get("schema") if request == asked.get("request") else None
        found = client.answer(job, _answer(value, schema or {}, client), request=request)
    _tell(context, found, found["status"])
    return codes.DONE


def _answer(values: tuple[str, ...], schema: JsonMapping, client: Client) -> Json:
    """What the question wants: an object, a text, or whatever JSON says."""
    is_object = schema.get("type") == "object"
    if len(values) > 1 or (is_object and "=" in values[0] and values[0][0] not in '{["@'):
        return InputReader(schema, client.upload).read(values)
    text = values[0]
    if text == "-" or text.startswith("@"):
        text = read_text(text.removeprefix("@")).strip()
    if schema.get("type") == "string":
        found = as_json(text, otherwise=text)
        return found if isinstance(found, str) else text
    found = as_json(text, otherwise=text)
    members = list(schema.get("properties", {}))
    if is_object and not isinstance(found, dict) and len(members) == 1:
        return {members[0]: found}  # there is only one thing that it can mean
    return found


@click.command()
@click.argument("job", shell_complete=complete_job)
@click.option("--reason", help="why")
@with_json
@click.pass_obj
def cancel(context: Context, job: str, reason: str | None) -> int:
    """Cancel JOB; prints its status, which is final once it has stopped."""
    with context.client() as client:
        found = client.cancel(job, reason)
    _tell(context, found, found["status"])
    return codes.DONE


@click.command()
@click.argument("job", shell_complete=complete_job)
@click.option("--timeout", "timeout_s", type=float, metavar="S", help="seconds to wait, at most")
@with_json
@click.pass_obj
def wait(context: Context, job: str, timeout_s: float | None) -> int:
    """Wait for JOB's end and print its status; the exit code says which."""
    with context.client() as client, coming_back(job, f"streaming wait {job}"):
        found = client.wait(job, timeout_s)
    _tell(context, found, found["status"])
    return codes.OF_STATUS.get(found["status"], codes.FAILED)


@click.command()
@click.argument("job", shell_complete=complete_job)
@click.argument("name", required=False)
@click.option("--output", "-o", metavar="FILE", help="where to write it; - is standard output")
@with_json
@click.pass_obj
def artifact(context: Context, job: str, name: str | None, output: str | None) -> int:
    """Fetch the file NAME that JOB has made; without NAME, list the files."""
    with context.client() as client:
        if name is None:
            found = client.job(job)["artifacts"]
            if context.json:
                emit(found)
            else:
                for each in found:
                    click.echo(f"{each['name']:30} {each['size']:>10} {each['media_type']}")
            return codes.DONE
        data = client.artifact(job, name)
    if output is None and sys.stdout.isatty() and b"\0" in data:
        raise click.UsageError(f"{name} is no text; write it to a file: -o {name}")
    _write(data, output)
    return codes.DONE


@click.command()
@click.argument("job", shell_complete=complete_job)
@click.option("--output", "-o", metavar="FILE", help="where to write it; - is standard output")
@with_json
@click.pass_obj
def export(context: Context, job: str, output: str | None) -> int:
    """Print JOB's events so far, each as a line of JSON (NDJSON)."""
    with context.client() as client:
        lines = (
            json.dumps(event, ensure_ascii=False, separators=(",", ":")) + "\n"
            for event in client.export(job)
        )
        if output in (None, "-"):
            for line in lines:
                click.echo(line, nl=False)
        else:
            _write("".join(lines).encode(), output)
    return codes.DONE


@click.command()
@click.argument("jobs", nargs=-1, required=True, shell_complete=complete_job)
@with_json
@click.pass_obj
def delete(context: Context, jobs: tuple[str, ...]) -> int:
    """Remove JOBS that have ended, with all that belongs to them."""
    with context.client() as client:
        for job in jobs:
            client.delete(job)
            if not context.json:
                note(f"{job} is deleted")
    if context.json:
        emit({"deleted": list(jobs)})
    return codes.DONE


def _tell(context: Context, job: Job, line: str) -> None:
    if context.json:
        emit(job)
    else:
        click.echo(line)


def _write(data: bytes, output: str | None) -> None:
    if output is None or output == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    Path(output).write_bytes(data)
    note(f"{output}: {len(data)} bytes")
