from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import pytest
from hypothesis import given, strategies as st

from streaming.errors import InvalidInput
from streaming.tasks.files import TextFigures, files
from tests.tasks.conftest import OWNER, Bench

Make = Callable[..., Bench]


def test_each_file_is_a_step_with_its_name(bench: Make) -> None:
    job = bench(files, files=["file_a", "file_b"])
    job.upload("file_a", b"one two\nthree\n", name="a.txt")
    job.upload("file_b", b"\x89PNG\r\n\x1a\n....", name="b.txt")

    output = job.run()

    steps = [(step["title"], step["status"]) for step in job.state.public()["steps"]]
    assert steps == [("a.txt", "completed"), ("b.txt", "completed"), ("Manifest", "completed")]
    assert output == {"files": 2, "failed": [], "bytes": 26}


def test_the_manifest_has_the_figures_of_each_file(bench: Make) -> None:
    job = bench(files, files=["file_a", "file_b"])
    job.upload("file_a", "größer\nals zwei".encode(), name="a.txt")
    job.upload("file_b", b"\x89PNG\r\n\x1a\n....", name="b.txt")

    job.run()

    one, other = json.loads(job.artifact("manifest.json"))["files"]
    assert one["sha256"] == hashlib.sha256("größer\nals zwei".encode()).hexdigest()
    assert one["text"] == {"lines": 2, "words": 3, "characters": 15}
    assert (one["media_type"], other["media_type"]) == ("text/plain", "image/png")
    assert other["text"] is None


def test_a_bad_file_does_not_end_the_batch(bench: Make) -> None:
    job = bench(files, files=["file_none", "file_alien", "file_a"])
    job.upload("file_a", b"fine", name="a.txt")
    job.upload("file_alien", b"secret", owner=OWNER + " else", name="secret.txt")

    output = job.run()

    assert output["failed"] == ["file_none", "file_alien"]
    statuses = [step["status"] for step in job.state.public()["steps"]]
    assert statuses == ["failed", "failed", "completed", "completed"]
    entries = json.loads(job.artifact("manifest.json"))["files"]
    assert [entry.get("error", {}).get("code") for entry in entries] == ["file_not_found"] * 2 + [
        None
    ]
    assert "secret" not in str(entries)


def test_progress_rises_to_100(bench: Make) -> None:
    job = bench(files, files=["file_a", "file_b"])
    for file in ("file_a", "file_b"):
        job.upload(file, b"x" * (3 << 20), name=f"{file}.bin")

    job.run()

    percents = [each["percent"] for each in job.data("job.progress")]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert len(percents) > 3


@pytest.mark.parametrize("listed", [[], ["file_a", "file_a"], ["file"] * 101, "file_a"])
def test_a_bad_list_is_refused(listed: object) -> None:
    with pytest.raises(InvalidInput):
        files.validate({"files": listed})


@given(st.text(), st.lists(st.integers(0, 200)))
def test_text_figures_do_not_depend_on_where_the_bytes_are_cut(text: str, cuts: list[int]) -> None:
    data, figures = text.encode("utf-8", "surrogatepass"), TextFigures()
    edges = [0, *sorted(cut for cut in cuts if cut <= len(data)), len(data)]

    for start, end in zip(edges, edges[1:], strict=False):
        figures.add(data[start:end])

    whole = TextFigures()
    whole.add(data)
    assert figures.result() == whole.result()
    if "\0" not in text:
        assert figures.result() == {
            "lines": len(text.split("\n")) - (text == "" or text.endswith("\n")),
            "words": len(text.split()),
            "characters": len(text),
        }
