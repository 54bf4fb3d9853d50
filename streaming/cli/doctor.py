"""Command `doctor`: looks at a deployment from outside, and says what to change."""

from __future__ import annotations

import sys

import click

from streaming.cli import codes
from streaming.cli.checks import Finding, examine
from streaming.cli.context import Context, with_json
from streaming.cli.output import emit, fitted

#: What stands before a finding, and its colour.
SIGNS = {"ok": ("ok   ", "green"), "note": ("note ", "yellow"), "bad": ("BAD  ", "red")}


@click.command()
@click.argument("url", required=False)
@click.option("--quick", is_flag=True, help="do not wait for idle time-outs")
@with_json
@click.pass_obj
def doctor(context: Context, url: str | None, quick: bool) -> int:
    """Examine the deployment at URL from outside: what is between you and the server?

    Starts a job that streams for some seconds and one that is quiet, and watches them over each
    transport. Exit code 0 when nothing has to be changed, 5 otherwise.
    """
    if url is not None:
        context.url = url
    findings: list[Finding] = []
    for finding in examine(context.client(), context.url, context.api_key, quick=quick):
        findings.append(finding)
        if not context.json:
            _show(finding)
    if context.json:
        emit([finding.as_json() for finding in findings])
    bad = sum(finding.state == "bad" for finding in findings)
    if not context.json:
        click.echo(f"{bad} to change" if bad else "nothing to change")
    return codes.NOT_YET if bad else codes.DONE


def _show(finding: Finding) -> None:
    sign, colour = SIGNS[finding.state]
    told = fitted(f"{sign}{finding.name}: {finding.seen}", sys.stdout, hang=len(sign))
    click.echo(click.style(sign, fg=colour) + told.removeprefix(sign))
    if finding.change:
        click.echo(fitted(f"       change: {finding.change}", sys.stdout, hang=7))
    sys.stdout.flush()
