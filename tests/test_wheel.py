"""What is installed from a wheel has the files for browsers."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: What a wheel is built from.
SOURCES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")


@pytest.mark.slow
def test_a_wheel_has_the_page_and_the_browser_client(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in (*SOURCES, "static", "templates", "streaming"):
        subprocess.run(["cp", "-R", ROOT / name, source], check=True)

    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", tmp_path, source]
    subprocess.run(build, check=True, timeout=110)

    (wheel,) = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("static", "templates"):
        for file in (ROOT / folder).rglob("*"):
            if file.is_file():
                assert f"streaming/web/assets/{file.relative_to(ROOT)}" in packed
