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


def test_it_opens_with_a_drawing() -> None:
    opening = ARCHITECTURE.partition("\n## ")[0]

    assert "```mermaid\nflowchart" in opening


def test_every_drawn_message_is_between_participants() -> None:
    drawings = re.findall(r"```mermaid\nsequenceDiagram\n(.*?)```", ARCHITECTURE, re.DOTALL)

    assert len(drawings) == 4
    for drawing in drawings:
        participants = set(re.findall(r"participant (\w+) as ", drawing))
        ends = re.findall(r"^ *(\w+) *-?->>? *(\w+):", drawing, re.MULTILINE)
        assert len(ends) > 5
        assert {name for each in ends for name in each} == participants
        opened = re.findall(r"^ *(?:opt|alt|loop) ", drawing, re.MULTILINE)
        assert len(opened) == len(re.findall(r"^ *end$", drawing, re.MULTILINE))


def test_each_oddity_is_cited_where_it_lives() -> None:
    listed = ARCHITECTURE.partition("## Deliberate oddities")[2]
    numbers = set(re.findall(r"^(\d+)\. ", listed, re.MULTILINE))

    cited: set[str] = set()
    for path in (ROOT / "streaming").rglob("*.py"):
        for found in re.findall(r"oddit(?:y|ies) (\d+(?: and \d+)?)", path.read_text("utf-8")):
            cited |= set(re.findall(r"\d+", found))

    assert numbers
    assert cited == numbers


def test_every_file_that_is_named_is_there() -> None:
    named = set(re.findall(r"(?:`|as |: )(?:streaming/)?([a-z_]+/[a-z_/]+\.py)", ARCHITECTURE))

    assert named
    for name in named:
        assert any((place / name).exists() for place in (ROOT / "streaming", ROOT)), name
