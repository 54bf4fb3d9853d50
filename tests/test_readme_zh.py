"""The README in Chinese shows what the README in English does, and what is so."""

from __future__ import annotations

import re

from streaming.config import Settings
from streaming.events import CONTROL
from tests.readme import README, ROOT, blocks
from tests.test_docs import headings, routes

PAGE = ROOT / "README.zh.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_its_examples_are_those_of_the_readme_to_the_letter() -> None:
    known = {(block.language, block.text) for block in blocks(README)}
    shown = [(block.language, block.text) for block in blocks(PAGE)]

    assert len(shown) > 20
    assert [each for each in shown if each not in known] == []


def test_its_settings_and_their_defaults_are_those_of_the_service() -> None:
    known = {str(field.validation_alias): field for field in Settings.model_fields.values()}
    shown = set(re.findall(r"`((?:STREAMING_|GUNICORN_|WEB_|REDIS_)[A-Z_]+)`", TEXT))
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([0-9]+) \|", TEXT, re.MULTILINE)

    assert shown <= set(known)
    assert len(rows) >= 5
    for name, default in rows:
        assert float(default) == known[name].default or name == "STREAMING_MAX_STREAMS", name


def test_its_routes_and_control_events_are_those_of_the_service() -> None:
    shown = set(re.findall(r"`(GET|POST|DELETE) (/[^`]*)`", TEXT))

    assert shown - {("GET", "/v1/jobs/{job}")} <= routes()
    assert set(re.findall(r"^\| `(stream\.\w+)`", TEXT, re.MULTILINE)) == set(CONTROL)


def test_its_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", TEXT):
        path, _, heading = link.partition("#")
        target = ROOT / path if path else PAGE
        assert link.startswith("http") or target.exists(), link
        assert not heading or heading in headings(target), link
