"""The site of the documents: whole, searchable, and nothing in it is fetched from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.readme import DOCUMENTS, ROOT

SCRIPT = (ROOT / "scripts/site").read_text()
#: What a browser loads for a page by itself.
LOADED = re.compile(r"<(?:script|img|iframe|link)\b[^>]*?\b(?:src|href)=\"(https?:)?//", re.DOTALL)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """What `scripts/site` does, with this Python."""
    (arguments,) = re.findall(
        r"^python (-m sphinx .*) -c docs \. \"\$target\"$", SCRIPT, re.MULTILINE
    )
    command = [sys.executable, *arguments.split(), "-c", "docs", ".", str(target)]
    return subprocess.run(
        command, cwd=source, capture_output=True, text=True, timeout=200, check=False
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    done = build(ROOT, target)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def test_the_site_has_every_page_and_a_way_in(site: Path) -> None:
    for page in DOCUMENTS:
        assert (site / page.relative_to(ROOT).with_suffix(".html")).is_file(), page
    (way,) = re.findall(r'<a href="(.*?)">', (site / "index.html").read_text())
    assert (site / way).is_file()


def test_the_navigation_has_the_groups_of_the_index(site: Path) -> None:
    titles = re.findall(r"^## (.*)$", (ROOT / "docs/index.md").read_text(), re.MULTILINE)
    page = (site / "docs/quickstart.html").read_text()

    assert re.findall(r'class="caption-text">(.*?)<', page) == titles


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert not LOADED.search(page.read_text()), page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(?:https?:)?//", style.read_text()), style


def test_the_words_can_be_searched(site: Path) -> None:
    index = (site / "searchindex.js").read_text()

    assert "docs/glossary" in index
    assert "heartbeat" in index


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """What becomes of a site with two bad links, and a page that the index does not lead to."""
    folder = tmp_path_factory.mktemp("faulty")
    small_site(folder)
    links = "[nowhere](missing.md)\n\n[no heading](one.md#no-such-heading)"
    (folder / "docs/one.md").write_text(f"# One\n\n{links}\n")
    (folder / "docs/two.md").write_text("# Two\n")
    return build(folder, folder / "site")


@pytest.mark.parametrize("complaint", ["missing.md", "no-such-heading", "docs/two.md"])
def test_what_leads_nowhere_and_what_nothing_leads_to_are_warnings_and_fail(
    faulty: subprocess.CompletedProcess[str], complaint: str
) -> None:
    warnings = [line for line in faulty.stderr.splitlines() if "WARNING" in line]

    assert faulty.returncode != 0
    assert len([line for line in warnings if complaint in line]) == 1
    assert len(warnings) == 3


def small_site(folder: Path) -> None:
    """Two pages, with the settings of ours."""
    (folder / "docs").mkdir()
    for name in ("conf.py", "site"):
        (folder / "docs" / name).symlink_to(ROOT / "docs" / name)
    (folder / "docs/index.md").write_text("# Words\n\n## Learn\n\n- [One](one.md)\n")
    (folder / "docs/one.md").write_text("# One\n")
