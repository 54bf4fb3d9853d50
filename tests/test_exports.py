"""The public names: chosen in one place, complete, and documented."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import streaming
from streaming import errors
from tests.readme import PAGES

SOURCE = Path(streaming.__file__)


def test_every_public_name_is_there_and_documented() -> None:
    for name in streaming.__all__:
        assert inspect.getdoc(getattr(streaming, name)), name


def test_public_names_are_sorted_and_named_once() -> None:
    assert streaming.__all__ == sorted(set(streaming.__all__))


def test_type_checkers_see_the_same_names() -> None:
    [block] = [node for node in ast.parse(SOURCE.read_text()).body if isinstance(node, ast.If)]
    imported = {
        alias.name
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    assert imported == set(streaming.__all__)


def test_what_the_documents_import_is_public() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    lines = [line for line in text.splitlines() if line.startswith("from streaming import ")]
    named = {name.strip() for line in lines for name in line.split("import ")[1].split(",")}

    assert named
    assert named <= set(streaming.__all__)


def test_errors_that_a_task_or_a_view_may_meet_are_public() -> None:
    wanted = {"TaskError", "Stop", "Cancelled", "TimedOut", "StreamingError"}
    assert wanted <= set(streaming.__all__)
    for name in streaming.__all__:
        value = getattr(streaming, name)
        if inspect.isclass(value) and issubclass(value, BaseException):
            assert getattr(errors, name) is value


def test_there_is_no_other_name() -> None:
    with pytest.raises(AttributeError, match="'Nonsense'"):
        streaming.Nonsense  # noqa: B018


def test_the_client_and_computing_load_nothing_of_the_server() -> None:
    # What computes for a job worker loads the worker's own file, too.
    names = "streaming.client, streaming.running.compute, streaming.worker"
    script = f"import sys, {names}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()

    assert not {"flask", "sqlite3", "gevent", "prometheus_client"} & set(loaded)
