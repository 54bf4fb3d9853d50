"""What is printed, and how it fits a terminal."""

from __future__ import annotations

import io
from typing import Any

import pytest

from streaming.cli.output import fitted
from streaming.cli.plain import line_of
from streaming.cli.tables import print_jobs

JOB = "job_01M8PYT96M5EBTEH9Y4SZGYW35"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    print_jobs(
        [
            {  # type: ignore[typeddict-item]
                "id": JOB,
                "status": "waiting_for_input",
                "progress": {"percent": 50.0},
                "task": "a-task-with-a-long-name",
                "created_at": "2026-11-30T19:27:25.908Z",
            }
        ]
    )
    return capsys.readouterr().out


def test_prose_is_wrapped_between_words_on_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "24")
    told = "ok   server: answers at http://127.0.0.1:8000/v1"

    assert fitted(told, io.StringIO()) == told
    wrapped = "ok   server: answers at\n     http://127.0.0.1:8000/v1"
    assert fitted(told, Terminal(), hang=5) == wrapped


@pytest.mark.parametrize("width", [60, 140])
def test_a_list_has_whole_ids_on_any_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    shown = listed(monkeypatch, capsys, width)

    assert JOB in shown
    assert "waiting_for_input" in shown
    assert ("2026-11-30 19:27:25" in shown) == (width == 140)
    assert max(map(len, shown.splitlines())) <= width


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ({"request": "r1", "data": {"ok": True}}, 'answered: {"ok": true}'),
        ({"request": "r1", "data": "好"}, 'answered: "好"'),
        ({"request": None, "data": "fed to it"}, None),
    ],
)
def test_an_answer_is_told_to_those_who_watch(data: dict[str, Any], line: str | None) -> None:
    assert line_of({"type": "input.received", "job": JOB, "data": data}) == line
