"""Every line of the README's and the docs' console examples, run in order on a real server."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
import requests
from flask import Flask

from streaming import JobContext, Streaming, server_of
from streaming.testing import running
from tests.e2e.server import PATIENCE_S, procfile_command
from tests.e2e.waiting import eventually
from tests.ports import free_port
from tests.readme import FLASK, FLASK_RUN, PAGES, ROOT, Example, blocks, examples, files

#: Seconds that an example may take.
EXAMPLE_S = 25.0
#: Stands alone for lines, within a line for characters, that differ from run to run.
ANYTHING = "…"
#: What the tests' environment must not pass on.
FOREIGN = ("STREAMING_", "GUNICORN_", "WEB_CONCURRENCY", "REDIS_URL", "DYNO", "PORT", "HOST")
#: Ends the output of an example.
MARK = "-- the example has ended --"

#: The server as it comes: where it runs already, it stays for the next page that begins with it.
PLAIN = "scripts/serve\n"


def served(page: Path) -> list[str]:
    """The servers that a page starts, in order."""
    return [each.shell.text for each in examples(page) if each.serves]


#: All but the one that runs these very tests, with their pages: those with the same servers follow
#: each other, and start them once.
EXAMPLES = [
    (page, each)
    for page in sorted(PAGES, key=served)
    for each in examples(page)
    if each.shell.text != "scripts/test\n"
]


pytestmark = pytest.mark.timeout(240)


class Machine:
    """A user's machine: a server and a terminal."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder = folder
        self.server = server
        self.terminal = Terminal(folder)
        #: What the examples have shown, by the line at which they begin.
        self.shown: dict[int, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.terminal.close()


class Server:
    """What `scripts/serve` starts, on a free port."""

    def __init__(self) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self._folder = Path()
        self._process: subprocess.Popen[bytes] | None = None
        self._runs = ""

    def start(self, command: str, folder: Path) -> None:
        """Run the page's command, in place of the server before it; what is kept is in `folder`."""
        if command == self._runs == PLAIN and self.exit_code is None:
            return
        self.stop()
        self._folder, self._runs = folder, command
        if Path(sys.prefix) != ROOT / ".venv":  # which the script would make and fill
            command = command.replace("scripts/serve", shlex.join(procfile_command()))
        flask = shlex.quote(f"{Path(sys.executable).parent}/flask")
        command = command.replace(FLASK_RUN, f"{flask} ").replace(
            "--port 8000", f"--port {self.url.rpartition(':')[2]}"
        )
        settings = {
            "HOST": "127.0.0.1",
            "PORT": self.url.rpartition(":")[2],
            "STREAMING_VAR_DIR": str(self._folder / "var"),
        }
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", f"exec env {command}"],
                cwd=ROOT,
                env=environment(self._folder) | settings,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        eventually(self._ready, "the server is ready", timeout_s=PATIENCE_S)

    def stop(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(PATIENCE_S)
            finally:
                if self._process.poll() is None:
                    os.killpg(self._process.pid, signal.SIGKILL)

    @property
    def exit_code(self) -> int | None:
        return None if self._process is None else self._process.poll()

    def log_text(self) -> str:
        return (self._folder / "server.log").read_text(errors="replace")[-3000:]

    def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the server has ended:\n{self.log_text()}"
        try:
            return requests.get(f"{self.url}/v1/readyz", timeout=5).ok
        except requests.ConnectionError:
            return False


class Terminal:
    """A shell that stays from example to example, and ends when a command fails."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shell = subprocess.Popen(
            ["sh", "-e"],
            cwd=folder,
            env=environment(folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, text: str) -> tuple[bool, str]:
        """Whether all commands went well, and what they have shown."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        (self._folder / "example.sh").write_text(text)
        clock = threading.Timer(EXAMPLE_S, self._kill)
        clock.start()
        try:
            self._shell.stdin.write(f". ./example.sh </dev/null; printf '\\n{MARK}\\n'\n")
            self._shell.stdin.flush()
            shown: list[str] = []
            for line in self._shell.stdout:
                if line.rstrip("\n") == MARK:
                    return True, "".join(shown)
                shown.append(line)
            return False, "".join(shown)
        except BrokenPipeError:
            return False, "the shell has ended\n"
        finally:
            clock.cancel()

    def close(self) -> None:
        self._kill()
        self._shell.communicate()

    def _kill(self) -> None:
        if self._shell.poll() is None:
            os.killpg(self._shell.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def machine(
    request: pytest.FixtureRequest, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """All examples of a page, run one after the other as far as they go."""
    page: Path = request.param
    for program in ("curl", "jq"):
        if shutil.which(program) is None:
            pytest.fail(f"the examples need {program}; scripts/test says how to get it")
    folder = tmp_path_factory.mktemp("page")
    (folder / "examples").symlink_to(ROOT / "examples")
    (folder / "README.md").symlink_to(ROOT / "README.md")
    for name, text in files(page).items():
        (folder / name).write_text(text)

    with Machine(folder, server) as machine:
        run_all(machine, [example for at, example in EXAMPLES if at == page])
        yield machine


def run_all(machine: Machine, examples: list[Example]) -> None:
    for example in examples:
        text = example.shell.text.replace("http://127.0.0.1:8000", machine.server.url)
        text = text.replace(".venv/bin/python", shlex.quote(sys.executable))
        if example.serves:
            machine.server.start(text, machine.folder)
            machine.shown[example.shell.line] = ""
            continue
        went_well, shown = machine.terminal.run(text)
        machine.shown[example.shell.line] = shown
        if not went_well:
            machine.shown[example.shell.line] = f"{shown}\nA COMMAND HAS FAILED, OR TOOK TOO LONG"
            return


def environment(folder: Path) -> dict[str, str]:
    """The tests' own, with this Python in front, a home of its own and no settings in it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
    python_path = f"{folder}{os.pathsep}{ROOT}"
    return {**kept, "PATH": path, "PYTHONPATH": python_path, "HOME": str(folder)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("machine", "example"),
    EXAMPLES,
    ids=[f"{page.name}:{each.shell.line}" for page, each in EXAMPLES],
    indirect=["machine"],
    scope="module",
)
def test_an_example_does_what_it_says(machine: Machine, example: Example) -> None:
    shown = machine.shown.get(example.shell.line)

    assert shown is not None, "it was not reached: one before it has failed"
    assert "A COMMAND HAS FAILED" not in shown, f"{shown}\n{machine.server.log_text()}"
    if example.shown is not None:
        assert is_shown(example.shown, shown), f"it shows something else:\n{shown}"


def test_every_block_is_an_example_or_no_console_at_all() -> None:
    languages = {block.language for page in PAGES for block in blocks(page)}

    # "shell" needs a model's server, or changes the reader's own shell: it is not run here.
    shown = {"text", "python", "diff", "js", "html", "ini", "json", "mermaid", "shell"}
    assert languages == {"sh"} | shown


@pytest.mark.slow
def test_the_configuration_for_gunicorn_serves_an_app_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text(files(FLASK)["gunicorn.conf.py"])
    shutil.copy(ROOT / "examples/existing_app/after.py", tmp_path)
    server = Server()
    address = server.url.removeprefix("http://")
    command = f"HOME={tmp_path} gunicorn -c {tmp_path}/gunicorn.conf.py -b {address} after:app"

    server.start(command, tmp_path)
    try:
        body = {"question": "Why?"}
        job = requests.post(f"{server.url}/ask", json=body, timeout=PATIENCE_S).json()
        stream = f"{server.url}{job['links']['events']}"
        assert '"type":"job.completed"' in requests.get(stream, timeout=PATIENCE_S).text
    finally:
        server.stop()
    assert server.exit_code == 0


def test_the_app_with_a_login_knows_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMING_LOG_URL", "memory://")
    app: dict[str, Any] = {"__name__": "login_app"}
    exec(files(FLASK)["login_app.py"], app)
    server_of(app["app"]).start(timeout=5)

    with app["app"].test_client() as client:
        assert client.get("/v1/jobs").status_code == 401
        with client.session_transaction() as session:
            session["user"] = "ann"
        assert client.get("/v1/jobs").status_code == 200
    server_of(app["app"]).drain()


def test_the_app_with_tokens_knows_programs_and_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMING_LOG_URL", "memory://")
    monkeypatch.setenv("STREAMING_API_KEYS", "a-key")
    app: dict[str, Any] = {"__name__": "tokens_app"}
    exec(files(FLASK)["tokens_app.py"], app)
    server_of(app["app"]).start(timeout=5)

    def asks(token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return app["app"].test_client().get("/v1/jobs", headers=headers).status_code

    assert (asks("token-of-ann"), asks("a-key"), asks("")) == (200, 401, 401)
    with app["app"].test_client() as client:
        with client.session_transaction() as session:
            session["user"] = "ann"
        assert client.get("/v1/jobs").status_code == 200
    server_of(app["app"]).drain()


def test_what_was_a_celery_task_tells_its_progress() -> None:
    app: dict[str, Any] = {"__name__": "thumbnails_app"}
    exec(files(FLASK)["thumbnails_app.py"], app)

    with running(app["app"]) as jobs:
        body = {"names": ["a", "b", "c", "d"]}
        id = app["app"].test_client().post("/thumbnails", json=body).json["id"]
        job = jobs.find(id).wait()

    assert job.output == {"made": ["small-a", "small-b", "small-c", "small-d"]}
    assert job.data("job.progress")[-1]["percent"] == 100


def test_a_model_of_ones_own_answers() -> None:
    own: dict[str, Any] = {}
    exec(files(ROOT / "docs/models.md")["own_model.py"], own)
    app = Flask("asks")
    streaming = Streaming(app, model=own["Echo"]())

    @streaming.task("ask")
    def ask(ctx: JobContext, input: Any) -> Iterator[str]:
        yield from ctx.llm.stream(input["question"])
        yield from ctx.llm.stream([{"role": "user", "content": "and more"}])

    with running(app) as jobs:
        assert jobs.run("ask", {"question": "to be"}).text == "to be and more "


def test_what_is_shown_may_leave_out_lines_and_parts_of_lines() -> None:
    said = "first\n…\nid: …\ndata: {…}\n"

    assert is_shown(said, "first\n\nid: 1\ndata: {}\nid: 2\ndata: {2}\n\n")
    assert not is_shown(said, "first\nid: 1\nid: 2\n")
    assert not is_shown(said, "before\nfirst\nid: 1\ndata: {}\n")
    assert not is_shown(said, "first\nid: 1\ndata: {}\nafter\n")


def is_shown(said: str, shown: str) -> bool:
    """Whether the output is what the page says."""
    return re.fullmatch(pattern(said), shown.rstrip("\n") + "\n") is not None


def pattern(said: str) -> str:
    """A regular expression for it. What is found first counts, so that a failure is soon clear."""
    first, *rest = re.split(rf"^{ANYTHING}\n", said, flags=re.MULTILINE)
    if not rest:
        return lines_pattern(first)
    *middle, last = map(lines_pattern, rest)
    found = "".join(rf"(?>(?:.*\n)*?{piece})" for piece in middle)
    return rf"{lines_pattern(first)}{found}(?:.*\n)*{last}"


def lines_pattern(said: str) -> str:
    return "".join(map(line_pattern, said.splitlines()))


def line_pattern(said: str) -> str:
    first, *rest = map(re.escape, said.split(ANYTHING))
    if not rest:
        return rf"{first}\n"
    *middle, last = rest
    return first + "".join(rf"(?>.*?{part})" for part in middle) + rf".*{last}\n"
