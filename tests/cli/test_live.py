"""The live view, on a terminal that only tests see."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from streaming.cli.live import LiveView
from tests.clocks import Clock
from tests.e2e.waiting import eventually


def event(kind: str, **data: Any) -> dict[str, Any]:
    return {"type": kind, "job": "job_1", "seq": 1, "data": data}


def step(id: str, status: str, **more: Any) -> dict[str, Any]:
    return event("step.updated", id=id, index=1, total=2, title=f"Step {id}", status=status, **more)


class Writes(io.StringIO):
    """Keeps what was written, each time."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def write(self, text: str) -> int:
        self.parts.append(text)
        return len(text)


class Terminal:
    """Shows events, and what stands there afterwards."""

    def __init__(self, width: int = 60, height: int = 20) -> None:
        self.clock = Clock()
        self._file = Writes()
        console = Console(file=self._file, width=width, height=height, force_terminal=True)
        self.view = LiveView(console, clock=self.clock)
        self._console = console

    def picture(self) -> str:
        """The part that is drawn again and again."""
        with self._console.capture() as captured:
            self._console.print(self.view.picture())
        return captured.get()

    @property
    def history(self) -> str:
        return "".join(self._file.parts)

    @property
    def last_written(self) -> str:
        """What the last write to the terminal was, all of which is seen at once."""
        return self._file.parts[-1]


def test_lines_go_up_when_they_are_whole_and_each_once() -> None:
    terminal = Terminal()
    with terminal.view as view:
        view.show(event("text.delta", item="answer", text="first line\nsec"))
        view.show(event("text.delta", item="answer", text="ond"))
        assert "second" in terminal.picture()
        assert "first line" not in terminal.picture()
        view.show(event("text.delta", item="answer", text="\n"))
        assert "second" not in terminal.picture()
        assert terminal.history.count("first line") == 1


def test_a_line_that_goes_up_leaves_the_picture_in_the_same_breath() -> None:
    terminal = Terminal()
    with terminal.view as view:
        view.show(event("text.delta", item="answer", text="first"))
        eventually(lambda: "first" in terminal.history, "the picture has it")
        view.show(event("text.delta", item="answer", text=" line\n"))
        line, _, picture = terminal.last_written.rpartition("\x1b[2K")

    assert "first line" in line
    assert "first" not in picture


def test_a_long_line_is_wrapped_between_words() -> None:
    terminal = Terminal(width=20)
    with terminal.view as view:
        for word in ["sentence "] * 30:
            view.show(event("text.delta", item="answer", text=word))
        assert len(terminal.picture()) < 200

    assert "sentence sentence" in terminal.history
    assert "sente\n" not in terminal.history


def test_the_checklist_has_each_step_with_its_state() -> None:
    terminal = Terminal()
    with terminal.view as view:
        view.show(step("a", "completed", duration_s=1.25, detail="all of it"))
        view.show(step("b", "running"))
        picture = terminal.picture()

    assert "✓" in picture
    assert "Step a" in picture
    assert "1.2 s" in picture
    assert "all of it" in picture
    assert "▸" in picture


def test_a_long_checklist_shows_what_is_going_on() -> None:
    terminal = Terminal(height=12)
    with terminal.view as view:
        for number in range(40):
            view.show(step(f"{number:02}", "completed" if number < 20 else "pending"))
        view.show(step("20", "running"))
        picture = terminal.picture()

    assert "Step 20" in picture
    assert picture.count("Step") == 6


def test_the_time_that_is_left_runs_down_between_events() -> None:
    terminal = Terminal()
    with terminal.view as view:
        view.show(event("job.progress", percent=40, eta_s=75, basis="estimated", message="half"))
        first = terminal.picture()
        terminal.clock.now += 20
        second = terminal.picture()

    assert "40 %" in first
    assert "about 1 min 15 s left" in first
    assert "half" in first
    assert "about 55 s left" in second


def test_who_leaves_sees_how_far_it_was_and_no_time_that_runs_down() -> None:
    terminal = Terminal()
    with terminal.view as view:
        view.show(event("job.progress", percent=40, eta_s=75, basis="measured"))

    assert "40 %" in terminal.picture()
    assert "left" not in terminal.picture()


def test_at_the_end_there_is_no_bar_but_how_it_ended() -> None:
    terminal = Terminal()
    with terminal.view as view:
        view.show(event("job.progress", percent=40, eta_s=75, basis="measured"))
        view.show(event("text.delta", item="answer", text="so far"))
        view.show(event("job.failed", error={"detail": "out of luck"}))
        picture = terminal.picture()

    assert "left" not in picture
    assert "failed: out of luck" in picture
    assert "so far" in terminal.history


def test_words_stay_apart_wherever_a_line_is_wrapped() -> None:
    terminal = Terminal(width=20)
    words = [f"word{number:03} " for number in range(60)]
    with terminal.view as view:
        for word in words:
            view.show(event("text.delta", item="answer", text=word))

    shown = " ".join(terminal.history.split())
    assert all(shown.count(word.strip()) for word in words)
    assert not any(f"{first.strip()}word" in shown for first in words)


def test_what_a_job_says_does_not_command_the_terminal() -> None:
    terminal = Terminal()
    with terminal.view as view:
        view.show(event("text.delta", item="answer", text="\x1b]0;title\x07red\x1b[2J\n"))
        view.show(step("a", "running", detail="\x9b2J"))
        view.show(event("alert", severity="info", message="\x1b[2Jx", state="firing"))
        picture = terminal.picture()

    assert "\x9b" not in picture
    assert "\x1b[2J" not in terminal.history
    assert "\x1b]0" not in terminal.history
