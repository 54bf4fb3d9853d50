"""The code for browsers holds what it promises: its types, and where it runs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
STATIC = HERE.parents[1] / "static" / "client"


@pytest.fixture(scope="module")
def tools() -> Path:
    """The folder of the programs that package.json names."""
    folder = HERE / "node_modules"
    seen, wanted = folder / ".package-lock.json", HERE / "package-lock.json"
    if not seen.exists() or seen.stat().st_mtime < wanted.stat().st_mtime:
        options = ["--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(["npm", "ci", *options], cwd=HERE, check=True, timeout=110)
    return folder / ".bin"


def test_the_types_of_the_client_hold(tools: Path) -> None:
    checked = run([tools / "tsc", "--project", HERE])

    assert checked.returncode == 0, checked.stdout


def test_the_check_of_types_finds_an_error(tools: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.js"
    broken.write_text("/** @param {string} text */\nexport const size = (text) => text.size;\n")

    assert run([tools / "tsc", "--checkJs", "--noEmit", "--strict", broken]).returncode != 0


def test_poll_js_is_es5_and_short(tools: Path) -> None:
    script = STATIC / "poll.js"

    assert run([tools / "acorn", "--ecma5", "--silent", script]).returncode == 0
    assert run([tools / "acorn", "--ecma5", "--silent", STATIC / "streaming.js"]).returncode != 0
    assert len(script.read_text().splitlines()) < 100


def test_the_client_needs_nothing_but_its_own_modules() -> None:
    modules = [STATIC / "streaming.js", *sorted((STATIC / "streaming").glob("*.js"))]
    imported = {
        (module.parent / name).resolve()
        for module in modules
        for name in re.findall(r'^(?:import|export) .*from "(.*)";$', module.read_text(), re.M)
    }

    assert imported
    assert imported <= {module.resolve() for module in modules}


def run(command: list[str | Path]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
