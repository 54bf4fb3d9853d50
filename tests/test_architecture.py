"""ARCHITECTURE.md against the code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text("utf-8")


def test_the_drawing_has_the_floors_that_are_checked() -> None:
    drawn = re.findall(r"^\d (.+)$", ARCHITECTURE, re.MULTILINE)
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]

    assert drawn == contracts["contracts"][0]["layers"]


def test_every_file_that_is_named_is_there() -> None:
    named = set(re.findall(r"`(?:streaming/)?([a-z_]+/[a-z_/]+\.py)", ARCHITECTURE))

    assert named
    for name in named:
        assert any((place / name).exists() for place in (ROOT / "streaming", ROOT)), name
