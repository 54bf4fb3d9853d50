"""The README and the reference in Chinese show what those in English do, and what is so."""

from __future__ import annotations

import re

from streaming.config import Settings
from streaming.events.vocabulary import CONTROL
from tests.readme import PAGES, README, ROOT, blocks
from tests.test_docs import routes

PAGE = ROOT / "README.zh.md"
GUIDE = ROOT / "docs/guide.zh.md"
REFERENCE = (ROOT / "docs/reference.zh.md").read_text(encoding="utf-8")


def test_its_examples_are_those_of_the_readme_to_the_letter_and_in_order() -> None:
    known = [(block.language, block.text) for block in blocks(README)]
    shown = [(block.language, block.text) for block in blocks(PAGE)]

    assert shown == known


def test_the_examples_of_the_guide_are_those_of_the_english_pages() -> None:
    english = [page for page in PAGES if not page.name.endswith(".zh.md")]
    known = {(block.language, block.text) for page in english for block in blocks(page)}
    shown = [(block.language, block.text) for block in blocks(GUIDE)]

    assert len(shown) > 20
    assert [each for each in shown if each not in known] == []


def test_it_has_as_many_sections_as_the_readme() -> None:
    sections = [len(re.findall(r"^## ", page.read_text(), re.MULTILINE)) for page in (README, PAGE)]

    assert sections[0] == sections[1]


def test_its_settings_and_their_defaults_are_those_of_the_service() -> None:
    known = {str(field.validation_alias): field for field in Settings.model_fields.values()}
    text = REFERENCE + PAGE.read_text(encoding="utf-8") + GUIDE.read_text(encoding="utf-8")
    shown = set(re.findall(r"`((?:STREAMING_|GUNICORN_|WEB_|REDIS_)[A-Z_]+)`", text))
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([0-9]+) \|", REFERENCE, re.MULTILINE)

    assert shown <= set(known)
    assert len(rows) >= 5
    for name, default in rows:
        assert float(default) == known[name].default or name == "STREAMING_MAX_STREAMS", name


def test_its_routes_and_control_events_are_those_of_the_service() -> None:
    text = REFERENCE + PAGE.read_text(encoding="utf-8") + GUIDE.read_text(encoding="utf-8")
    shown = set(re.findall(r"`(GET|POST|DELETE) (/[^`]*)`", text))

    assert len(shown) > 15
    assert shown <= routes()
    assert set(re.findall(r"^\| `(stream\.\w+)`", REFERENCE, re.MULTILINE)) == set(CONTROL)
