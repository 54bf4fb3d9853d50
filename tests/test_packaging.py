"""What an installation has: a small minimum for an app, the service with all extras, the page."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

import streaming

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
#: What a wheel is built from.
SOURCES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")
EXTRAS = PROJECT["optional-dependencies"]

#: An app as people have it, in an environment with the minimum alone.
APP = """
import sys
from importlib.util import find_spec
from flask import Flask
from streaming import Streaming, InvalidSettings, server_of
from streaming.testing import running

absent = ["gevent", "gunicorn", "redis", "dramatiq", "numpy", "psutil", "babel", "httpx",
          "prometheus_client", "rich", "opentelemetry"]
assert not [name for name in absent if find_spec(name)], absent
app = Flask("shop")
streaming = Streaming(app, authorize=lambda: "ann")

@streaming.task("answer", steps=["think"])
def answer(ctx, input):
    ctx.step("think", lambda: None)
    yield input["question"].upper()

with running(app) as jobs:
    job = jobs.run("answer", {"question": "why"})
    assert (job.status, job.text) == ("completed", "WHY"), job.error
    metrics = app.test_client().get("/v1/metrics")
    assert metrics.status_code == 503 and "[metrics]" in metrics.json["detail"], metrics.text
    assert app.test_client().get("/v1/openapi.json").status_code == 200
    assert app.test_client().get("/v1/docs").status_code == 200

other = Flask("other")
other.config["STREAMING_REDIS_URL"] = "redis://127.0.0.1"
Streaming(other)
try:
    server_of(other).start(timeout=1)
except InvalidSettings as error:
    assert "[redis]" in str(error), error
else:
    raise AssertionError("Redis without its driver")
try:
    import streaming.server.service
except InvalidSettings as error:
    assert "[all]" in str(error), error
else:
    raise AssertionError("the service without its extras")
print("sound")
"""


def names(requirements: Iterable[str]) -> set[str]:
    found = (re.match(r"[A-Za-z0-9-]+", each) for each in requirements)
    return {match[0].lower() for match in found if match}


def test_the_services_requirements_are_the_minimum_and_all_extras() -> None:
    listed = [line for line in (ROOT / "requirements.in").read_text().splitlines() if line]
    wanted = [
        *PROJECT["dependencies"],
        *(each for key in EXTRAS if key != "all" for each in EXTRAS[key]),
    ]

    pinned = {re.split(r"\s+#", line)[0].strip() for line in listed if not line.startswith("#")}

    assert pinned == set(wanted)


def test_all_has_every_extra() -> None:
    (everything,) = EXTRAS["all"]

    assert set(re.findall(r"\[(.*)\]", everything)[0].split(",")) == set(EXTRAS) - {"all"}


def test_heavy_packages_are_no_part_of_the_minimum() -> None:
    heavy = {
        "gevent",
        "gunicorn",
        "numpy",
        "psutil",
        "babel",
        "httpx",
        "redis",
        "dramatiq",
        "prometheus-client",
        "click",
        "rich",
    }

    assert not heavy & names(PROJECT["dependencies"])
    assert "flask" in names(PROJECT["dependencies"])


def test_what_is_imported_is_declared() -> None:
    modules = {
        match[1]
        for file in (ROOT / "streaming").rglob("*.py")
        for match in re.finditer(
            r"^\s*(?:from|import) ([a-z_0-9]+)", file.read_text(), re.MULTILINE
        )
    }
    # `_typeshed` is what type checkers alone have.
    foreign = modules - set(sys.stdlib_module_names) - {"streaming", "app", "_typeshed"}
    packages = {"pythonjsonlogger": "python-json-logger", "opentelemetry": "opentelemetry-api"}

    declared = names([*PROJECT["dependencies"], *(each for key in EXTRAS for each in EXTRAS[key])])

    assert {packages.get(name, name.replace("_", "-")) for name in foreign} <= declared


def test_nothing_is_said_to_be_published() -> None:
    pages = [
        ROOT / "README.md",
        ROOT / "README.zh.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "streaming").rglob("*.py"),
    ]
    for page in pages:
        for line in page.read_text().splitlines():
            assert not re.search(r"pip install (?!-)['\"]?streaming", line), (page, line)


def test_the_version_is_said_in_one_place() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", streaming.__version__)
    assert PROJECT["dynamic"] == ["version"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in (*SOURCES, "static", "templates", "streaming"):
        subprocess.run(["cp", "-R", ROOT / name, source], check=True)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", folder, source]
    subprocess.run(build, check=True, timeout=110)
    (made,) = folder.glob("*.whl")
    return made


@pytest.mark.slow
def test_a_wheel_has_the_page_and_the_browser_client(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("static", "templates"):
        for file in (ROOT / folder).rglob("*"):
            if file.is_file():
                assert f"streaming/web/assets/{file.relative_to(ROOT)}" in packed


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_minimum_works_beside_flask_3_0(wheel: Path, tmp_path: Path) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    venv.create(tmp_path / "venv")
    # A pip of its own, and bytecode of all that is never imported, are half a minute's work.
    install = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-compile"]
    subprocess.run([*install, wheel, "flask==3.0.*"], check=True, timeout=280)

    done = subprocess.run(
        [python, "-c", APP], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.stdout == "sound\n", done.stderr
    top = {path.name for path in (tmp_path / "venv").glob("lib/*/site-packages/*")}
    assert not top & {"app.py", "wsgi.py", "static", "templates", "tests", "examples"}
