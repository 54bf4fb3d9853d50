"""Command `keys`: API keys in a file. It needs the server's code, and no server that runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from streaming.cli.context import with_json
from streaming.cli.output import emit

if TYPE_CHECKING:
    from streaming.web.keys import Key

#: What a key may allow, in the order in which it is told; a test holds it to the server's.
SCOPES = ("submit", "read", "cancel", "admin")
#: What one may that is not said otherwise.
USUAL = ("submit", "read", "cancel")


@click.group()
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
    default=USUAL,
    show_default=True,
    help="what it may; admin: with the jobs of all owners",
)
@click.pass_obj
def add(path: Path, owner: str, scopes: tuple[str, ...]) -> None:
    """Make a key of OWNER's. It is shown this once."""
    from streaming.web.keys import make_key, write_keys

    try:
        text, key = make_key(owner, scopes)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    write_keys(path, [*_kept(path), key])
    click.echo(text)
    click.echo(f"{key.id} of {owner} is in {path}; servers know it within a second", err=True)


@keys.command("list")
@with_json
@click.pass_context
def list_keys(context: click.Context) -> None:
    """List the keys: ids, owners and scopes."""
    found = _kept(context.obj)
    if context.find_root().obj.json:
        emit([{"id": k.id, "owner": k.owner, "scopes": sorted(k.scopes)} for k in found])
        return
    for key in found:
        click.echo(f"{key.id}  {key.owner:20} {'+'.join(s for s in SCOPES if s in key.scopes)}")


@keys.command()
@click.argument("id")
@click.pass_obj
def revoke(path: Path, id: str) -> None:
    """Revoke the key with this ID, and with it its tickets."""
    from streaming.web.keys import write_keys

    kept = _kept(path)
    left = [key for key in kept if key.id != id]
    if len(left) == len(kept):
        raise click.UsageError(f"there is no key {id} in {path}; see: keys list")
    write_keys(path, left)
    click.echo(f"{id} is revoked; servers know it within a second", err=True)


def _kept(path: Path) -> list[Key]:
    """The keys of the file, which need not be there yet."""
    from streaming.web.keys import parse_lines

    try:
        return parse_lines(path.read_text(encoding="utf-8").splitlines()) if path.exists() else []
    except ValueError as error:
        raise click.UsageError(f"{path}: {error}") from None
