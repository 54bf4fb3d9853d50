"""The command line: `python -m streaming.cli --help`. A client like any other."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from streaming.client import Client, ClientError
from streaming.web.keys import Key, make_key, parse_lines, write_keys
from streaming.web.principal import OWN, SCOPES

#: What is shown of each type besides text.
_LINES = {
    "step.updated": "[{index}/{total}] {title}: {status}",
    "text.reset": "-- {item} starts over --",
    "artifact": "artifact {name}: {href}",
    "alert": "{severity}: {message} ({state})",
    "input.requested": "asks: {prompt}",
    "job.completed": "completed",
    "job.failed": "failed: {error[detail]}",
    "job.cancelled": "cancelled: {reason}",
    "stream.gap": "-- events {from} to {to} are gone --",
    "stream.degraded": "-- degraded: {why} --",
}


class _Json(click.ParamType[Any]):
    name = "JSON"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        try:
            return json.loads(value)
        except ValueError as error:
            self.fail(f"{value!r} is not JSON: {error}", param, ctx)


@click.group()
@click.option("--url", envvar="STREAMING_URL", default="http://127.0.0.1:8000", show_default=True)
@click.option("--api-key", envvar="STREAMING_API_KEY", help="a key, where the server asks for one")
@click.pass_context
def cli(context: click.Context, url: str, api_key: str | None) -> None:
    """Start jobs on a streaming server, watch them, steer them."""
    context.obj = Client(url, api_key=api_key)


@cli.command()
@click.pass_obj
def tasks(client: Client) -> None:
    """List the tasks."""
    for task in client.tasks():
        click.echo(f"{task['name']:20} {task['title']}: {task['description']}")


@cli.command()
@click.argument("task")
@click.argument("input", type=_Json(), default="{}")
@click.option(
    "--file", "files", multiple=True, metavar="NAME=PATH", help="upload PATH, its id is input NAME"
)
@click.option("--detach", is_flag=True, help="print the job's id and do not watch it")
@click.pass_context
def run(
    context: click.Context,
    task: str,
    input: Mapping[str, Any],
    files: tuple[str, ...],
    detach: bool,
) -> None:
    """Start a job of TASK with INPUT (JSON) and watch it."""
    uploads = {}
    for name, _, path in (each.partition("=") for each in files):
        uploads[name] = context.obj.upload(path)
    input = {**input, **uploads}
    job = context.obj.submit(task, input)["id"]
    if detach:
        click.echo(job)
        return
    click.echo(f"job {job}", err=True)
    context.invoke(watch, job=job)


@cli.command()
@click.argument("job")
@click.option("--after", default=0, show_default=True, help="the last event seen")
@click.option("--raw", is_flag=True, help="print the events as JSON")
@click.pass_obj
def watch(client: Client, job: str, after: int, raw: bool) -> None:
    """Watch JOB until its end: text on standard output, all else on standard error."""
    last: Mapping[str, Any] = {}
    in_text = False
    for last in client.watch(job, after):
        if raw:
            click.echo(json.dumps(last, ensure_ascii=False))
        else:
            in_text = _show(last, in_text=in_text)
    if last.get("type") in ("job.failed", "job.cancelled"):
        sys.exit(1)


@cli.command()
@click.argument("job")
@click.option("--reason", help="why")
@click.pass_obj
def cancel(client: Client, job: str, reason: str | None) -> None:
    """Cancel JOB."""
    click.echo(client.cancel(job, reason)["status"])


@cli.command("list")
@click.option("--status", help="only jobs of this status")
@click.option("--limit", default=20, show_default=True, help="jobs to list at the most")
@click.pass_obj
def list_jobs(client: Client, status: str | None, limit: int) -> None:
    """List jobs, the newest first."""
    query = {} if status is None else {"status": status}
    for _, job in zip(range(limit), client.jobs(**query), strict=False):
        percent = job["progress"]["percent"]
        click.echo(f"{job['id']}  {job['status']:10} {percent:5.0f} %  {job['task']}")


@cli.group()
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="STREAMING_API_KEYS_FILE",
    required=True,
    help="the server's STREAMING_API_KEYS_FILE",
)
@click.pass_context
def keys(context: click.Context, path: Path) -> None:
    """Make, list and revoke API keys, in a file that has only their hashes."""
    context.obj = path


@keys.command()
@click.argument("owner")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    default=sorted(OWN, key=SCOPES.index),
    show_default=True,
    help="what it may; admin: with the jobs of all owners",
)
@click.pass_obj
def add(path: Path, owner: str, scopes: tuple[str, ...]) -> None:
    """Make a key of OWNER's. It is shown this once."""
    try:
        text, key = make_key(owner, scopes)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    write_keys(path, [*_kept(path), key])
    click.echo(text)
    click.echo(f"{key.id} of {owner} is in {path}; servers know it within a second", err=True)


@keys.command("list")
@click.pass_obj
def list_keys(path: Path) -> None:
    """List the keys: ids, owners and scopes."""
    for key in _kept(path):
        click.echo(f"{key.id}  {key.owner:20} {'+'.join(s for s in SCOPES if s in key.scopes)}")


@keys.command()
@click.argument("id")
@click.pass_obj
def revoke(path: Path, id: str) -> None:
    """Revoke the key with this ID, and with it its tickets."""
    kept = _kept(path)
    left = [key for key in kept if key.id != id]
    if len(left) == len(kept):
        raise click.UsageError(f"there is no key {id} in {path}; see: keys list")
    write_keys(path, left)
    click.echo(f"{id} is revoked; servers know it within a second", err=True)


def _kept(path: Path) -> list[Key]:
    """The keys of the file, which need not be there yet."""
    try:
        return parse_lines(path.read_text(encoding="utf-8").splitlines()) if path.exists() else []
    except ValueError as error:
        raise click.UsageError(f"{path}: {error}") from None


def _show(event: Mapping[str, Any], *, in_text: bool) -> bool:
    """Show an event; whether text is on the present line of standard output."""
    data = event["data"]
    if event["type"] == "text.delta":
        click.echo(data["text"], nl=False)
        return not data["text"].endswith("\n")
    line = _LINES.get(event["type"])
    if line is None or data.get("status") == "pending":
        return in_text
    if in_text:
        click.echo()
    click.echo(line.format_map(data), err=True)
    return False


def main() -> None:
    """The command; what the server refuses is told in one line."""
    try:
        cli()
    except (ClientError, OSError) as error:
        sys.exit(f"error: {error}")
