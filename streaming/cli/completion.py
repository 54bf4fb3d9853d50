"""Completion in shells: `streaming completion bash`."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable

import click
from click.shell_completion import CompletionItem, get_completion_class

from streaming.cli import codes
from streaming.client import Client, ClientError

#: Seconds that the server has to say what there is, and jobs that are offered.
PATIENCE_S, JOBS = 2.0, 30


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> int:
    """Print what makes SHELL complete commands, tasks and job ids.

    bash: eval "$(streaming completion bash)" in ~/.bashrc. zsh: the same in ~/.zshrc.
    fish: streaming completion fish > ~/.config/fish/completions/streaming.fish
    """
    found = get_completion_class(shell)
    assert found is not None
    script = found(context.find_root().command, {}, "streaming", "_STREAMING_COMPLETE")
    click.echo(script.source())
    return codes.DONE


def complete_task(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The server's tasks."""
    with contextlib.suppress(ClientError), _client(context) as client:
        return _items(((each["name"], each["title"]) for each in client.tasks()), incomplete)
    return []


def complete_job(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The newest jobs."""
    with contextlib.suppress(ClientError), _client(context) as client:
        newest = itertools.islice(client.jobs(limit=JOBS), JOBS)
        found = [(each["id"], f"{each['task']}, {each['status']}") for each in newest]
        return _items(found, incomplete)
    return []


def _client(context: click.Context) -> Client:
    options = context.find_root().params
    return Client(options["url"], api_key=options.get("api_key"), timeout_s=PATIENCE_S)


def _items(found: Iterable[tuple[str, str]], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name, help=said) for name, said in found if name.startswith(incomplete)]
