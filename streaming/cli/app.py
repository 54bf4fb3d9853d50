"""The commands together, what they have in common, and how errors are told."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from streaming.cli import codes, completion, doctor, jobs, keys, launch, looking, running
from streaming.cli.context import Context, Interrupted
from streaming.cli.output import fitted
from streaming.client import ClientError, ProblemError, ServerAway, WaitTimeout
from streaming.version import VERSION

URL = "http://127.0.0.1:8000"


class InOrder(click.Group):
    """Lists its commands in the order in which they were added: by what one does first."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self.commands)


@click.group(
    cls=InOrder, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option(
    "--url",
    envvar="STREAMING_URL",
    default=URL,
    show_default=True,
    help="the server (STREAMING_URL)",
)
@click.option(
    "--api-key", envvar="STREAMING_API_KEY", help="a key, where it asks for one (STREAMING_API_KEY)"
)
@click.option("--json", "as_json", is_flag=True, help="print JSON; every command takes it, too")
@click.version_option(VERSION, prog_name="streaming")
@click.pass_context
def cli(context: click.Context, url: str, api_key: str | None, as_json: bool) -> None:
    """Start jobs on a streaming server, watch them, steer them.

    Text and results go to standard output, all else to standard error. Exit codes: 0 completed,
    1 the job failed, 2 refused or a wrong command line, 3 the job was cancelled, 4 the server is
    away, 5 not yet, 130 Ctrl-C.
    """
    context.obj = Context(url, api_key, as_json)


for command in (
    launch.serve,
    launch.worker,
    running.tasks,
    running.run,
    running.watch,
    looking.list_jobs,
    looking.show,
    looking.text,
    looking.logs,
    jobs.answer,
    jobs.cancel,
    running.retry,
    jobs.wait,
    jobs.artifact,
    jobs.export,
    jobs.delete,
    keys.keys,
    doctor.doctor,
    completion.completion,
):
    cli.add_command(command)


def run(arguments: Sequence[str]) -> int:
    """The exit code of a command."""
    try:
        code = cli.main(args=list(arguments), prog_name="streaming", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return codes.DONE
    except click.UsageError as error:
        return _usage(error)
    except click.ClickException as error:
        return _tell(error.format_message(), codes.REFUSED)
    except (click.Abort, KeyboardInterrupt):
        return _tell("interrupted", codes.INTERRUPTED, word="")
    except Interrupted as error:
        click.echo(str(error), err=True)
        return codes.INTERRUPTED
    except (BrokenPipeError, SystemExit):  # click makes the one of the other
        # Who read us has left: `| head`. Nothing more may be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return codes.DONE
    except (ClientError, OSError) as error:
        return _tell(*_told(error))
    except Exception as error:  # a fault of ours: told in a line, too, and in full where asked for
        if os.environ.get("STREAMING_TRACEBACK") == "1":
            raise
        kind = type(error).__name__
        return _tell(f"{kind}: {error}; STREAMING_TRACEBACK=1 shows where", codes.REFUSED)
    return code if isinstance(code, int) else codes.DONE


def _usage(error: click.UsageError) -> int:
    command = error.ctx.command_path if error.ctx is not None else "streaming"
    message = " ".join(error.format_message().split()).rstrip(".")
    return _tell(f"{message}; see: {command} --help", codes.REFUSED)


def _told(error: ClientError | OSError) -> tuple[str, int]:
    """What to say of an error, in one line, and the exit code."""
    if isinstance(error, ServerAway):
        hint = (
            "is the server running there? (--url or STREAMING_URL; start one with: streaming serve)"
        )
        return f"no answer from {error.url} ({error.reason}); {hint}", codes.AWAY
    if isinstance(error, ProblemError):
        return _refusal(error), codes.AWAY if error.status >= 500 else codes.REFUSED
    if isinstance(error, WaitTimeout):
        return str(error), codes.NOT_YET
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}", codes.REFUSED
    return str(error), codes.REFUSED


def _refusal(error: ProblemError) -> str:
    if error.status == 401:
        key = "give a key that it knows with --api-key or STREAMING_API_KEY"
        return f"the server does not know who asks ({error.detail}); {key}"
    said = error.detail
    told = [each for each in error.errors if str(each.get("message")) not in said]
    fields = [f"{each.get('field')}: {each.get('message')}" for each in told]
    if fields:
        said = f"{said.rstrip('.')} ({'; '.join(fields)})"
    hints = {
        "job_not_found": "see: streaming list",
        "unknown_task": "see: streaming tasks",
        "invalid_input": "see what a task takes: streaming tasks TASK",
    }
    if any(str(each.get("field")).startswith("data") for each in error.errors):
        hints["invalid_input"] = "see what the job asks for: streaming show JOB"
    if error.retry_after_s is not None:
        return f"{said}; try again in {error.retry_after_s:g} s"
    hint = hints.get(error.code)
    return f"{said}; {hint}" if hint else said


def _tell(message: str, code: int, word: str = "error: ") -> int:
    click.echo(fitted(f"{word}{' '.join(message.split())}", sys.stderr), err=True)
    return code
