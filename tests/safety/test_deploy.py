"""What is in deploy/: it is valid, and names only what there is."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import requests
import yaml

from streaming.config import Settings
from tests.e2e.server import PATIENCE_S, free_port
from tests.e2e.waiting import eventually

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
NAMES = {str(field.validation_alias) for field in Settings.model_fields.values()}
#: What is set and is none of our settings.
OTHERS = {"GUNICORN_ACCESS_LOG"}


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, behind its last FROM."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line and line[0] != "#"]
    last = max(number for number, line in enumerate(lines) if line[0] == "FROM")
    return [(name, rest) for name, rest in lines[last:]]


def test_every_setting_that_is_named_exists() -> None:
    for file in [*DEPLOY.iterdir(), ROOT / "app.json", ROOT / "Procfile"]:
        named = set(re.findall(r"\b(?:STREAMING|GUNICORN)_[A-Z_]+[A-Z]\b", file.read_text()))
        assert named <= NAMES | OTHERS, file


def test_the_kubernetes_manifest_is_valid() -> None:
    documents = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))

    assert len(documents) == 6
    for document in documents:
        kubernetes_validate.validate(document, "1.31", strict=True)


def test_the_grace_of_kubernetes_is_longer_than_all_that_ends_within_it() -> None:
    config, web, *_ = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    pod = web["spec"]["template"]["spec"]
    [container] = pod["containers"]

    pre_stop_s = float(container["lifecycle"]["preStop"]["exec"]["command"][1])
    drain_s = float(config["data"]["STREAMING_DRAIN_S"])

    assert pre_stop_s + drain_s + 5 < pod["terminationGracePeriodSeconds"] <= 30


def test_the_settings_of_all_deployments_are_taken() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    config, *_ = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    settings = compose["services"]["web"]["environment"]

    Settings.load({**settings, "STREAMING_API_KEYS": "key"}).check_exposure()
    Settings.load(config["data"])
    assert compose["services"]["worker"]["command"] == "python -m streaming.worker"
    assert json.loads((ROOT / "app.json").read_text())["formation"].keys() == {"web", "worker"}


@pytest.mark.server
def test_the_image_runs_as_nobody_special_and_has_all_that_it_needs(tmp_path: Path) -> None:
    """Docker is not needed: the same files, environment and commands, in a folder of their own."""
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    commands: dict[str, list[str]] = {}
    for name, rest in instructions():
        if name == "COPY" and not rest.startswith("--from"):
            *sources, target = rest.split()
            for source in sources:
                place = tmp_path / target / (source if target == "./" else "")
                copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
                copy(ROOT / source, place)
        elif name == "ENV":
            given = dict(pair.split("=", 1) for pair in shlex.split(rest))
            environment |= {key: value for key, value in given.items() if key != "PATH"}
        elif name in ("CMD", "HEALTHCHECK"):
            commands[name] = json.loads(rest[rest.index("[") :])
    user = dict(instructions())["USER"]
    port = free_port()
    environment |= {"HOST": "127.0.0.1", "PORT": str(port)}
    environment["STREAMING_VAR_DIR"] = str(tmp_path / "var")

    server = subprocess.Popen(commands["CMD"], cwd=tmp_path, env=environment)
    try:
        check = [sys.executable, *commands["HEALTHCHECK"][1:]]
        eventually(
            lambda: subprocess.run(check, env=environment, capture_output=True).returncode == 0,
            "it is healthy",
            timeout_s=PATIENCE_S,
        )
        assert requests.get(f"http://127.0.0.1:{port}/", timeout=5).ok
        assert requests.get(f"http://127.0.0.1:{port}/docs", timeout=5).ok
    finally:
        server.terminate()
        assert server.wait(PATIENCE_S) == 0
    assert int(user) > 0


def test_the_image_does_not_serve_others_without_keys() -> None:
    environment: dict[str, str] = {}
    for name, rest in instructions():
        if name == "ENV":
            environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))

    assert environment["HOST"] == "0.0.0.0"
    with pytest.raises(Exception, match="STREAMING_API_KEYS"):
        Settings.load({key: environment[key] for key in ("HOST", "PORT")}).check_exposure()


def units() -> dict[str, dict[str, Any]]:
    found = {}
    for file in DEPLOY.glob("*.service"):
        lines = [line.split("=", 1) for line in file.read_text().splitlines() if "=" in line]
        found[file.stem] = {key: value for key, value in lines if not key.startswith("#")}
    return found


def test_the_units_run_what_there_is_and_give_it_time() -> None:
    for name, unit in units().items():
        script = Path(unit["ExecStart"]).relative_to("/srv/streaming")
        assert (ROOT / script).exists(), name
        assert int(unit["TimeoutStopSec"]) >= Settings().drain_s + 5
        assert unit["KillMode"] == "mixed"
    assert set(units()) == {"streaming", "streaming-worker"}
