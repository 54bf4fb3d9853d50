"""The site of this project's documents, which Sphinx makes of them: scripts/site.

The project's folder is the source, so every link leads where it leads in the repository.
`docs/index.md` is the table of contents: its headings are the groups of pages in the navigation.
"""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
INDEX = "docs/index"

project = "Streaming jobs"
copyright = "the authors of Streaming jobs"
root_doc = INDEX
include_patterns = ["*.md", "docs/**", "examples/**"]
exclude_patterns = ["examples/*/static/**"]  # others' modules
source_suffix = {".md": "markdown"}
extensions = ["myst_parser"]
myst_heading_anchors = 4
html_theme = "furo"
html_title = project
html_copy_source = html_show_sourcelink = False
html_extra_path = ["site"]  # index.html, which leads to the first page
# Highlighting does not know what is left out in the examples ("…") and says so.
suppress_warnings = ["misc.highlighting_failure"]


def add_navigation(_: Sphinx, page: str, source: list[str]) -> None:
    """Give the table of contents what Sphinx calls a toctree, one for each of its headings."""
    if page == INDEX:
        groups = re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", source[0], re.MULTILINE | re.DOTALL)
        source[0] += "".join(toctree(title, text) for title, text in groups)


def toctree(title: str, text: str) -> str:
    pages = re.findall(r"^- \[.*?\]\((.*?)\)", text, re.MULTILINE)
    return "\n".join(["", "", "```{toctree}", f":caption: {title}", ":hidden:", "", *pages, "```"])


def setup(app: Sphinx) -> None:
    app.connect("source-read", add_navigation)
