"""A job on a terminal: its text streams by, below it stand the checklist and the progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from streaming.cli.output import harmless
from streaming.cli.plain import line_of
from streaming.events.vocabulary import JsonMapping

#: Pictures a second.
FRAMES_PER_S = 10
#: Lines of the terminal that are not for the checklist.
RESERVED = 6
#: How each state of a step is shown: sign, sign where there is only ASCII, style.
SIGNS: Mapping[str, tuple[str, str, str]] = {
    "pending": ("·", ".", "dim"),
    "running": ("▸", ">", "cyan"),
    "completed": ("✓", "+", "green"),
    "failed": ("✗", "x", "red"),
    "skipped": ("–", "-", "dim"),
}
#: The style of lines about events, where they have one.
STYLES = {
    "job.failed": "bold red",
    "job.cancelled": "magenta",
    "job.completed": "green",
    "input.requested": "bold yellow",
    "alert": "yellow",
    "stream.gap": "dim",
    "stream.degraded": "dim",
}
ENDS = ("job.completed", "job.failed", "job.cancelled")


class LiveView:
    """Shows events until it is left; what stays is the text, the checklist and how it ended."""

    def __init__(
        self, console: Console | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console or Console(highlight=False)
        self._clock = clock
        self._steps: dict[str, JsonMapping] = {}
        #: The last line of the text, which may still grow.
        self._rest = ""
        self._progress: JsonMapping = {}
        self._progress_at = clock()
        #: How it ended.
        self._end: Text | None = None
        self._any_text = False
        self._live = Live(
            console=self._console,
            get_renderable=self.picture,
            refresh_per_second=FRAMES_PER_S,
            vertical_overflow="crop",
        )

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress:
            self._progress = {**self._progress, "eta_s": None}  # nobody counts it down any more
        self._settle()
        self._live.__exit__(kind, error, trace)

    def show(self, event: JsonMapping) -> None:
        """Take in one event; the next picture has it."""
        kind, data = event["type"], event["data"]
        if kind == "text.delta":
            self._add(data["text"])
        elif kind == "step.updated":
            self._steps[data["id"]] = data
        elif kind == "job.progress":
            self._progress, self._progress_at = data, self._clock()
        elif kind == "stream.snapshot":
            self._steps = {step["id"]: step for step in data["job"].get("steps", [])}
            self._progress = data["job"].get("progress") or {}
        elif (line := line_of(event)) is not None:
            shown = Text(harmless(line), style=STYLES.get(kind, "dim"))
            if kind in ENDS:
                self._end = shown
            else:
                self._settle()
                self._print(shown, soft_wrap=True)

    def _add(self, text: str) -> None:
        """Whole lines go up into the terminal's own history; the last one stays in the picture."""
        self._any_text = True
        self._rest += harmless(text)
        lines, newline, rest = self._rest.rpartition("\n")
        if newline:
            self._rest = rest
            self._print(Text(lines))
        if len(self._rest) > 2 * self._console.width:
            wrapped = list(Text(self._rest).wrap(self._console, self._console.width))
            space = self._rest[len(self._rest.rstrip()) :]  # which wrapping may take away
            self._rest = wrapped[-1].plain.rstrip() + space
            self._print(*wrapped[:-1])

    def _settle(self) -> None:
        """The line that grew is whole."""
        rest, self._rest = self._rest, ""
        if rest:
            self._print(Text(rest))

    def _print(self, *lines: Text, soft_wrap: bool = False) -> None:
        """Put lines above the picture, and draw it without them in the same breath."""
        with self._console:
            self._console.print(*lines, sep="\n", soft_wrap=soft_wrap)
            self._live.refresh()

    def picture(self) -> RenderableType:
        parts: list[RenderableType] = [Text(self._rest)] if self._rest else []
        if self._any_text:
            parts.append(Text(""))
        parts += self._checklist()
        if self._end is not None:
            parts.append(self._end)
        elif self._progress:
            parts.append(self._bar())
        return Group(*parts)

    def _checklist(self) -> Iterable[RenderableType]:
        ascii_only = not self._console.encoding.lower().startswith("utf")
        for step in self._shown():
            sign, plain_sign, style = SIGNS.get(step["status"], ("?", "?", ""))
            line = Text(f" {plain_sign if ascii_only else sign} ", style=style)
            muted = "dim" if step["status"] in ("pending", "skipped") else ""
            line.append(harmless(str(step.get("title") or step["id"])), style=muted)
            if step.get("duration_s") is not None and step["status"] != "pending":
                line.append(f"  {step['duration_s']:.1f} s", style="dim")
            if step.get("detail"):
                line.append(harmless(f"  {step['detail']}"), style="dim")
            line.truncate(self._console.width, overflow="ellipsis")
            yield line

    def _shown(self) -> list[JsonMapping]:
        """The steps that find room, those around the first unfinished one."""
        steps = list(self._steps.values())
        room = max(3, self._console.height - RESERVED)
        if len(steps) <= room:
            return steps
        waiting = ("pending", "running")
        at = next((i for i, step in enumerate(steps) if step["status"] in waiting), len(steps))
        first = min(max(0, at - room // 2), len(steps) - room)
        return steps[first : first + room]

    def _bar(self) -> RenderableType:
        percent = float(self._progress.get("percent") or 0)
        row = Table.grid(padding=(0, 1))
        row.add_row(
            Text(""),
            ProgressBar(total=100, completed=percent, width=min(30, self._console.width // 3)),
            Text(f"{percent:3.0f} %"),
            Text(self._left(), style="dim"),
            Text(
                harmless(str(self._progress.get("message") or "")), style="dim", overflow="ellipsis"
            ),
        )
        return row

    def _left(self) -> str:
        eta_s = self._progress.get("eta_s")
        if eta_s is None:
            return ""
        left = max(0.0, eta_s - (self._clock() - self._progress_at))
        about = "about " if self._progress.get("basis") == "estimated" else ""
        minutes, seconds = divmod(round(left), 60)
        return f"{about}{minutes} min {seconds} s left" if minutes else f"{about}{seconds} s left"
