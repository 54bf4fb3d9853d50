"""Each command of the command line, its output and its exit code."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.serving import make_server

from streaming import Streaming
from streaming.cli import codes
from streaming.cli.app import cli as group
from streaming.cli.keys import SCOPES, USUAL
from streaming.errors import InvalidSettings
from streaming.server.worker_parts import load_server
from streaming.testing import running
from streaming.web.principal import OWN, SCOPES as SERVERS
from tests.cli.conftest import COMMAND, Run, environment
from tests.e2e.clients import Api
from tests.e2e.server import ROOT, Server
from tests.e2e.waiting import eventually
from tests.ports import free_port

SALES = str(ROOT / "examples/sales.csv")
GENERATE = ("generate", "prompt=Tides", "max_tokens=5", "tokens_per_s=0")


def the_json(text: str) -> Any:
    return json.loads(text)


def lines_of_json(text: str) -> list[Any]:
    return [json.loads(line) for line in text.strip().split("\n")]


def test_a_run_has_its_text_on_standard_output_and_the_rest_on_the_other(
    cli: Run, api: Api
) -> None:
    ended = cli("run", *GENERATE)

    job = ended.stderr.split()[1]
    assert ended.returncode == codes.DONE
    assert ended.stdout.rstrip("\n") == api.snapshot(job)["text"]
    assert ended.stderr.split("\n") == [
        f"job {job}",
        "[1/1] Generate text: running",
        "[1/1] Generate text: completed",
        "completed",
        "",
    ]


def test_a_run_as_json_has_an_event_a_line(cli: Run, api: Api) -> None:
    for arguments in (("run", *GENERATE, "--json"), ("--json", "run", *GENERATE)):
        events = lines_of_json(cli(*arguments).stdout)

        assert events == api.log_of(events[0]["job"])


@pytest.mark.parametrize(
    ("task", "code"),
    [("plain", codes.DONE), ("failing", codes.FAILED), ("sleeping", codes.CANCELLED)],
)
def test_the_exit_code_says_how_the_job_ended(cli: Run, api: Api, task: str, code: int) -> None:
    job = api.submit(task, {"words": ["a"]} if task == "plain" else {})
    if code == codes.CANCELLED:
        assert cli("cancel", job, "--reason", "enough").stdout.strip() in (
            "cancelling",
            "cancelled",
        )
    last = api.finish(job)["seq"]

    assert cli("watch", job).returncode == code
    assert cli("watch", job, "--after", str(last)).returncode == code
    assert cli("watch", job, "--after", str(last + 9)).returncode == code
    assert cli("wait", job).returncode == code
    assert the_json(cli("wait", job, "--json").stdout)["id"] == job


def test_input_comes_in_every_form(cli: Run, api: Api, tmp_path: Path) -> None:
    asked = {"prompt": "12", "max_tokens": 3, "tokens_per_s": 0}
    (tmp_path / "input.json").write_text(json.dumps(asked))
    (tmp_path / "prompt.txt").write_text("12")
    rest = ("max_tokens=3", "tokens_per_s=0")
    forms: list[tuple[tuple[str, ...], str]] = [
        ((json.dumps(asked),), ""),
        (("-",), json.dumps(asked)),
        ((f"@{tmp_path}/input.json",), ""),
        (("prompt=12", *rest), ""),
        ((f"prompt=@{tmp_path}/prompt.txt", *rest), ""),
        (("prompt=-", *rest), "12"),
        (('{"prompt": "13"}', "prompt=12", *rest), ""),
    ]

    for arguments, stdin in forms:
        ended = cli("run", "generate", *arguments, "--detach", stdin=stdin)
        assert ended.returncode == codes.DONE, (arguments, ended.stderr)
        assert api.log_of(ended.stdout.strip())[0]["data"]["input"] == {**asked, **asked}


def test_files_are_uploaded_where_the_task_takes_one(cli: Run, tmp_path: Path) -> None:
    for arguments in (("file=@" + SALES,), ("--file", "file=" + SALES), ("csv=@" + SALES,)):
        ended = cli("run", "report", "tokens_per_s=0", *arguments)
        assert (ended.returncode, "24 periods" in ended.stdout) == (codes.DONE, True), ended.stderr

    job = ended.stderr.split()[1]
    listed = cli("artifact", job).stdout
    chart = cli("artifact", job, "chart.svg", "-o", str(tmp_path / "chart.svg"))
    assert "chart.svg" in listed
    assert chart.returncode == codes.DONE
    assert (tmp_path / "chart.svg").read_text() == cli("artifact", job, "chart.svg").stdout


@pytest.mark.parametrize(
    ("answer", "given"),
    [
        (("ok=true",), {"ok": True}),
        (('{"ok": false}',), {"ok": False}),
        (("true",), {"ok": True}),
        (("true", "--request", "REQUEST"), {"ok": True}),
    ],
)
def test_a_question_is_answered(cli: Run, api: Api, answer: tuple[str, ...], given: Any) -> None:
    job = api.submit("asking")
    request = api.reach(job, "waiting_for_input")["input_request"]["request"]
    shown = cli("show", job).stdout
    assert "Is it good?" in shown
    assert '"ok": {"type": "boolean"}' in shown

    said = cli("answer", job, *[part.replace("REQUEST", request) for part in answer])

    assert said.returncode == codes.DONE, said.stderr
    assert api.finish(job)["output"] == {"verdict": given}
    assert "asks: Is it good?" in cli("logs", job).stdout


def test_an_answer_that_does_not_fit_is_told_where_to_look(cli: Run, api: Api) -> None:
    job = api.submit("asking-for", {"schema": {"type": "boolean"}})
    api.reach(job, "waiting_for_input")

    said = cli("answer", job, "maybe")

    assert said.returncode == codes.REFUSED
    assert "streaming show JOB" in said.stderr
    api.cancel(job)


def test_a_text_that_is_asked_for_stays_text(cli: Run, api: Api) -> None:
    job = api.submit("asking-for", {"schema": {"type": "string"}})
    api.reach(job, "waiting_for_input")

    cli("answer", job, "42")

    assert api.finish(job)["output"] == {"answer": "42"}


def test_what_a_job_has_is_shown(cli: Run, api: Api) -> None:
    job = api.run("generator", {"words": ["Grüße ", "世界"]})["id"]

    assert the_json(cli("show", job, "--json").stdout) == api.snapshot(job)
    assert "completed, 100 %" in cli("show", job).stdout
    assert cli("text", job).stdout == "Grüße 世界\n"
    assert the_json(cli("text", job, "--json").stdout)["text"] == "Grüße 世界"
    assert lines_of_json(cli("export", job).stdout) == api.log_of(job)
    assert cli("logs", job).stdout.split("\n")[-2].endswith("completed")


def test_jobs_are_listed_filtered_retried_and_deleted(cli: Run, api: Api) -> None:
    job = api.run("plain", {"words": ["again"]})["id"]

    again = cli("retry", job)
    listed = the_json(cli("list", "--task", "plain", "--status", "completed", "--json").stdout)

    assert (again.returncode, again.stdout) == (codes.DONE, "again\n")
    assert {job, again.stderr.split()[1]} <= {each["id"] for each in listed}
    assert job in cli("list", "--limit", "500").stdout
    assert cli("delete", job).returncode == codes.DONE
    assert cli("show", job).returncode == codes.REFUSED


def test_tasks_are_listed_and_described(cli: Run) -> None:
    assert {"generate", "plain"} <= {
        each["name"] for each in the_json(cli("tasks", "--json").stdout)
    }
    assert "max_tokens" in cli("tasks", "generate").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("run", "generate", "[1]"), codes.REFUSED, "must be an object"),
        (("run", "generate", "{"), codes.REFUSED, "is not JSON"),
        (("run", "generate", "prompt"), codes.REFUSED, "is not JSON"),
        (("run", "generate", "=x"), codes.REFUSED, "no name"),
        (("run", "generate", "prompt=@/nowhere"), codes.REFUSED, "cannot read /nowhere"),
        (("run", "generate", "[" * 100_000), codes.REFUSED, "is not JSON"),
        (("run", "generate", "--file", "/tmp/x"), codes.REFUSED, "NAME=PATH"),
        (("run", "generate", "--file", "x=/nowhere"), codes.REFUSED, "/nowhere"),
        (("run", "generate", "--file", "x=/tmp"), codes.REFUSED, "/tmp"),
        (("run", "generate", "max_tokens=0", "prompt=x"), codes.REFUSED, "max_tokens"),
        (("run", "nothing"), codes.REFUSED, "streaming tasks"),
        (("run",), codes.REFUSED, "streaming run --help"),
        (("tasks", "nothing"), codes.REFUSED, "no task nothing"),
        (("show", "job_1"), codes.REFUSED, "streaming list"),
        (("watch", "job_1"), codes.REFUSED, "streaming list"),
        (("watch", "../.."), codes.REFUSED, ""),
        (("watch", "job_1", "--after", "-1"), codes.REFUSED, "--after"),
        (("list", "--status", "odd"), codes.REFUSED, "odd"),
        (("artifact", "job_1", "a"), codes.REFUSED, "streaming list"),
        (("frobnicate",), codes.REFUSED, "streaming --help"),
        (("--url", "nonsense://x", "list"), codes.REFUSED, "no address"),
        (("--url", "http://[", "list"), codes.REFUSED, ""),
    ],
)
def test_errors_are_one_line_that_says_what_to_do(
    cli: Run, arguments: tuple[str, ...], code: int, says: str
) -> None:
    ended = cli(*arguments)

    assert ended.returncode == code, ended.stderr
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.count("\n") == 1
    assert says in ended.stderr
    assert ended.stdout == ""


def test_a_server_that_is_away_has_its_exit_code(cli: Run) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    for command in (("list",), ("run", *GENERATE), ("watch", "job_1"), ("doctor",)):
        ended = cli(*command, url=url)
        assert (ended.returncode, ended.stderr.count("\n")) == (codes.AWAY, 1), ended.stderr
        assert f"no answer from {url}" in ended.stderr


def test_who_has_a_key_that_is_not_known_is_told_so(cli: Run) -> None:
    app = Flask("members")
    Streaming(app, authorize=lambda: None)
    with running(app):
        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            ended = cli("list", url=f"http://127.0.0.1:{server.port}", STREAMING_API_KEY="mine")
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    assert ended.returncode == codes.REFUSED
    assert "does not know who asks (log in first)" in ended.stderr


def test_a_wait_has_its_time(cli: Run, api: Api) -> None:
    job = api.submit("sleeping", {"seconds": 30})

    ended = cli("wait", job, "--timeout", "0.5")

    assert (ended.returncode, "goes on" in ended.stderr) == (codes.NOT_YET, True)
    api.cancel(job)


def interrupted(server: Server, *command: str, at: str) -> str:
    """What a command says at Ctrl-C, which comes when its output has come to `at`."""
    process = subprocess.Popen(
        [*COMMAND, *command],
        env=environment(server.url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # As at a terminal: what runs in the background of a script ignores it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    shown = ""
    while not shown.endswith(at):
        more = process.stdout.read(1)
        assert more, f"ended after {shown!r}"
        shown += more
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == codes.INTERRUPTED
    return said


def test_ctrl_c_says_how_to_come_back(server: Server, api: Api) -> None:
    job = api.submit("counting")

    said = interrupted(server, "watch", job, at="0 1 ")

    goes_on, come_back, stop = said.splitlines()[-3:]
    assert goes_on == "the job goes on"
    assert come_back.startswith(f"  come back: streaming watch {job} --after ")
    assert stop == f"  stop it:   streaming cancel {job}"
    after = int(come_back.rpartition(" ")[2])
    assert 3 <= after <= api.snapshot(job)["seq"]
    api.cancel(job)


def test_ctrl_c_says_how_to_come_back_to_what_waits(server: Server, api: Api) -> None:
    job = api.submit("counting")

    said = interrupted(server, "logs", job, "--follow", at="attempt 1 started")

    assert said.splitlines() == [
        "the job goes on",
        f"  come back: streaming logs {job} --follow",
        f"  stop it:   streaming cancel {job}",
    ]
    api.cancel(job)


def test_who_reads_may_leave(server: Server, api: Api) -> None:
    job = api.run("generator", {"words": ["word "] * 20_000})["id"]
    command = f"{' '.join(COMMAND)} export {job} | head -1"

    ended = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        env=environment(server.url),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (codes.DONE, "")
    assert lines_of_json(ended.stdout)[0]["type"] == "job.queued"


def test_the_version_is_the_projects(cli: Run) -> None:
    assert cli("--version").stdout.startswith("streaming, version 0.")


def test_completion_is_for_each_shell(cli: Run) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "_STREAMING_COMPLETE" in cli("completion", shell).stdout
    asked = {"_STREAMING_COMPLETE": "bash_complete", "COMP_CWORD": "2"}
    assert "plain,generate\n" in cli(**asked, COMP_WORDS="streaming run gene").stdout


def test_scopes_are_the_servers() -> None:
    assert SCOPES == SERVERS
    assert set(USUAL) == OWN


#: What starts a server on this machine, through gunicorn.
SERVING = [[*COMMAND, "serve"], ["sh", "scripts/serve"], ["sh", "scripts/cluster"]]


@pytest.mark.parametrize("command", SERVING, ids=["command", "script", "cluster"])
@pytest.mark.parametrize("value", ["x", "1.5", "-1"])
def test_a_number_of_processes_that_is_none_is_named_before_gunicorn_reads_it(
    command: list[str], value: str
) -> None:
    ended = subprocess.run(
        command,
        env=environment("", WEB_CONCURRENCY=value),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode != 0
    [line] = (ended.stdout + ended.stderr).splitlines()
    assert f"WEB_CONCURRENCY='{value}': set a whole number of web processes" in line


@pytest.mark.server
def test_serve_serves_and_stops_and_an_empty_setting_is_none(tmp_path: Path) -> None:
    port = free_port()
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", str(port)],
        env=environment("", STREAMING_VAR_DIR=str(tmp_path / "var"), WEB_CONCURRENCY=""),
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        api = Api(f"http://127.0.0.1:{port}")
        eventually(lambda: _answers(api), "it serves", timeout_s=30)
        assert api.run("generate", {"prompt": "x", "max_tokens": 1})["status"] == "completed"
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def _answers(api: Api) -> bool:
    try:
        return api.get("/readyz").ok
    except OSError:
        return False


def test_a_worker_needs_redis_and_says_so(cli: Run) -> None:
    ended = cli("worker", "app:create_app()")

    assert ended.returncode != 0
    assert "REDIS_URL" in ended.stderr


def test_every_command_has_a_help(cli: Run) -> None:
    for name, command in group.commands.items():
        assert command.help, name


def test_another_projects_package_of_the_same_name_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "streaming").mkdir()
    ours = str(ROOT / "streaming")
    (tmp_path / "streaming/__init__.py").write_text(
        f"__all__ = ['StreamingDataset']\n__path__.append({ours!r})\n"
    )

    ended = subprocess.run(
        [*COMMAND, "--version"],
        env=environment("", PYTHONPATH=str(tmp_path)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert ended.returncode == 1
    assert ended.stderr.startswith("error: the package 'streaming' at ")
    assert "mosaicml-streaming" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_worker_takes_a_factory() -> None:
    assert load_server("app:create_app()").settings.app == "wsgi:app"
    with pytest.raises(InvalidSettings, match="app:nothing"):
        load_server("app:nothing()")
