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


@pytest.mark.parametrize(
    ("added", "complaint"),
    [
        ("[nowhere](missing.md)", "missing.md"),
        ("[no heading](one.md#no-such-heading)", "no-such-heading"),
    ],
)
def test_a_link_that_leads_nowhere_fails(tmp_path: Path, added: str, complaint: str) -> None:
    small_site(tmp_path)
    whole = build(tmp_path, tmp_path / "site")
    (tmp_path / "docs/one.md").write_text(f"# One\n\n{added}\n")

    done = build(tmp_path, tmp_path / "site")

    assert whole.returncode == 0, whole.stderr
    assert done.returncode != 0
    assert complaint in done.stderr


def test_a_page_that_the_index_does_not_lead_to_fails(tmp_path: Path) -> None:
    small_site(tmp_path)
    (tmp_path / "docs/two.md").write_text("# Two\n")

    done = build(tmp_path, tmp_path / "site")

    assert done.returncode != 0
    assert "docs/two.md" in done.stderr


def small_site(folder: Path) -> None:
    """Two pages, with the settings of ours."""
    (folder / "docs").mkdir()
    for name in ("conf.py", "site"):
        (folder / "docs" / name).symlink_to(ROOT / "docs" / name)
    (folder / "docs/index.md").write_text("# Words\n\n## Learn\n\n- [One](one.md)\n")
    (folder / "docs/one.md").write_text("# One\n")
