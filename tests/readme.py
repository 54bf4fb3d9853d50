"""What the README and the pages in docs say, for the tests that hold them to it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
REFERENCE = ROOT / "docs/reference.md"
#: All pages with examples to run.
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
#: All that is written for people.
DOCUMENTS = [
    page
    for at in ("*.md", "docs/**/*.md", "examples/*.md", "examples/*/*.md")
    for page in ROOT.glob(at)
]
#: What has the change to an app that exists, and what else such an app writes.
FLASK = ROOT / "docs/flask.md"
BROWSER = ROOT / "docs/browser.md"
#: An app's own server, in place of the service's.
FLASK_RUN = ".venv/bin/flask "


_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block."""

    language: str
    text: str
    #: Of its first line, in the page.
    line: int


@dataclass(frozen=True, slots=True)
class Example:
    """Shell lines, and what the page says that they show; None: it does not say."""

    shell: Block
    shown: str | None

    @property
    def serves(self) -> bool:
        """Whether it starts a server, which stays."""
        return "scripts/serve" in self.shell.text or self.shell.text.startswith(FLASK_RUN)


def blocks(page: Path = README) -> list[Block]:
    """All fenced blocks, in order."""
    text = page.read_text()
    return [
        Block(match[1], match[2], text.count("\n", 0, match.start(2)) + 1)
        for match in _BLOCK.finditer(text)
    ]


def examples(page: Path = README) -> list[Example]:
    """The blocks of shell lines, each with the block of text that follows it."""
    found = []
    all_blocks = blocks(page)
    for block, following in zip(all_blocks, [*all_blocks, None][1:], strict=True):
        if block.language == "sh":
            shows = following is not None and following.language == "text"
            found.append(Example(block, following.text if following and shows else None))
    return found


def files(page: Path = README) -> dict[str, str]:
    """The files that a page has its reader write: their first line is their name."""
    python = [block.text for block in blocks(page) if block.language == "python"]
    return {text.partition("\n")[0].removeprefix("# "): text for text in python}


def section(page: Path, title: str) -> str:
    """The text below a heading, as far as the next one."""
    pattern = rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)"
    found = re.search(pattern, page.read_text(), re.MULTILINE | re.DOTALL)
    assert found, f"{page.name} has no heading {title!r}"
    return found[1]


def rows(page: Path, title: str) -> list[list[str]]:
    """The rows of the tables below a heading, without their heads."""
    lines = [line for line in section(page, title).splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    heads = [index - 1 for index, row in enumerate(cells) if set(row[0]) <= set("-|")]
    return [row for index, row in enumerate(cells) if index not in heads and index - 1 not in heads]
