"""Records the moving picture of the README: one job, watched by five clients at once.

All of it runs: an MCP client starts a job on a real server; the page, curl, the openai package and
the AI SDK's useChat watch it. curl is ended on its way, and comes back with its position.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from tests.browser.conftest import launch
from tests.e2e.server import ROOT, Server
from tests.e2e.waiting import eventually
from tests.protocols.packages import bundle, serve_page

TARGET = ROOT / "docs/img/one-job.gif"
STAGE = ROOT / "bench/picture.html"
CLIENTS = ROOT / "examples/one_job"
QUESTION = "What happens to a lease at a cancel?"
#: Events after which curl is ended, and the seconds until it comes back.
CUT_AFTER, AWAY_S = 30, 2.0
#: Seconds that the last frame stays, between two frames at least, and within which all must end.
LAST_S, FRAME_S, PATIENCE_S = 5.0, 0.2, 600.0
#: Tokens per second in the picture.
TOKENS_PER_S = 3.0
#: Characters of a line of curl's that are seen: two rows. And the picture's colours.
WIDTH, COLOURS = 148, 96
#: How the page with useChat looks.
STYLE = """body { margin: 10px 14px; font: 13px/1.38 sans-serif } button { float: right }
    header { height: 26px } small { font-size: 12px; color: #555 }
    p { margin: 4px 0; white-space: pre-wrap }"""


class Terminal:
    """A command that runs, and what a terminal shows of it."""

    def __init__(self, url: str, shown: str, command: list[str]) -> None:
        self._text = f"$ {shown}\n"
        self._lock = threading.Lock()
        environment = {**os.environ, "STREAMING_URL": url, "PYTHONUNBUFFERED": "1"}
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        """All that it has shown, with the prompt that follows its end."""
        ended = self.ended
        with self._lock:
            return f"{self._text}$ " if ended else self._text

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None and not self._reader.is_alive()

    def end(self) -> str:
        """Ctrl-C; all that it has shown."""
        self._process.terminate()
        self._process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        with self._lock:
            return self._text

    def _read(self) -> None:
        assert self._process.stdout is not None
        while part := os.read(self._process.stdout.fileno(), 1 << 16):
            with self._lock:
                self._text += part.decode(errors="replace")


class Curl:
    """`curl` on a job's events. It is ended after some of them, and comes back for the rest."""

    def __init__(self, url: str, job: str, away_s: float) -> None:
        self._url, self._job, self._away_s = url, job, away_s
        self._before, self._away_since = "", 0.0
        self._now: Terminal | None = self._watch()

    def look(self) -> None:
        """End it, or let it come back, when it is time to."""
        if self._now and not self._before and last_id(self._now.text) >= CUT_AFTER:
            self._before = f"{self._now.end()}^C\n"
            self._now, self._away_since = None, time.monotonic()
        elif not self._now and time.monotonic() - self._away_since > self._away_s:
            self._now = self._watch("-H", f"Last-Event-ID: {last_id(self._before)}")

    @property
    def text(self) -> str:
        now = self._now.text if self._now else "$ "
        shown = re.sub(r"\n\n+", "\n", self._before + now).replace(self._job, "$JOB")
        return re.sub(rf"(?m)^(data.{{{WIDTH - 5}}}).+$", r"\1…", shown)

    @property
    def ended(self) -> bool:
        return self._now is not None and bool(self._before) and self._now.ended

    def _watch(self, *options: str) -> Terminal:
        header = f" -H '{options[1]}'" if options else ""
        shown = f"curl -N{header} $URL/v1/jobs/$JOB/events"
        command = ["curl", "-sN", *options, f"{self._url}/v1/jobs/{self._job}/events"]
        return Terminal(self._url, shown, command)


def last_id(shown: str) -> int:
    """The number of the last event that came whole."""
    return max(
        (int(each) for each in re.findall(r"^id: (\d+)\ndata: .*\n", shown, re.M)), default=0
    )


def record(
    url: str, page: Page, chat: Page, stage: Page, job_of: Callable[[], str | None], times: float
) -> list[tuple[Image.Image, float]]:
    """The frames, each with the seconds for which it is seen."""
    asked = Terminal(
        url,
        f'python mcp_client.py "{QUESTION}"',
        [sys.executable, str(CLIENTS / "mcp_client.py"), QUESTION],
    )
    eventually(lambda: job_of() is not None, "the job is there", timeout_s=PATIENCE_S)
    job = job_of()
    assert job
    page.goto(f"{url}/#/jobs/{job}")
    chat.goto(f"{url}/use-chat?job={job}")
    chat.add_style_tag(content=STYLE)
    curl = Curl(url, job, AWAY_S * times)
    script = str(CLIENTS / "openai_client.py")
    reader = Terminal(url, "python openai_client.py $JOB", [sys.executable, script, job])

    frames: list[tuple[Image.Image, float]] = []
    until, ended_at = time.monotonic() + PATIENCE_S, None
    while ended_at is None or time.monotonic() - ended_at < 1:
        began = time.monotonic()
        curl.look()
        if ended_at is None and asked.ended and reader.ended and curl.ended:
            ended_at = began
        shots = {"page": shot_of(page), "chat": shot_of(chat)}
        texts = {"mcp": asked.text, "curl": curl.text, "openai": reader.text}
        stage.evaluate(
            """async ([shots, texts]) => {
                const places = document.querySelectorAll("pre");
                for (const place of places) {
                    place.textContent = texts[place.id].replace(/\\n$/, "");
                    place.scrollTop = place.scrollHeight;
                }
                for (const image of document.images) {
                    image.src = "data:image/png;base64," + shots[image.id];
                    await image.decode();
                }
            }""",
            [shots, texts],
        )
        frame = Image.open(io.BytesIO(stage.screenshot())).convert("RGB")
        time.sleep(max(0.0, FRAME_S - (time.monotonic() - began)))
        frames.append((frame, time.monotonic() - began))
        if time.monotonic() > until:
            raise TimeoutError(f"it does not end: {texts}")
    return frames


def shot_of(page: Page) -> str:
    return base64.b64encode(page.screenshot()).decode()


def save(frames: list[tuple[Image.Image, float]], path: Path, times: float) -> None:
    """One palette for all frames, of which each holds what has changed."""
    middle, last = frames[len(frames) // 2][0], frames[-1][0]
    both = Image.new("RGB", (middle.width, 2 * middle.height))
    both.paste(middle)
    both.paste(last, (0, middle.height))
    palette = both.quantize(COLOURS, dither=Image.Dither.NONE)
    images = [each.quantize(palette=palette, dither=Image.Dither.NONE) for each, _ in frames]
    seconds = [*(seconds / times for _, seconds in frames[:-1]), LAST_S]
    images[0].save(
        path,
        save_all=True,
        append_images=images[1:],
        duration=[round(each * 1000) for each in seconds],
        loop=0,
        optimize=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench picture", description=__doc__)
    parser.add_argument("--to", type=Path, default=TARGET, help="the GIF to write")
    parser.add_argument(
        "--times", type=float, default=1.0, help="as fast as it was; more on a machine that is busy"
    )
    options = parser.parse_args()
    os.environ["TOKENS_PER_S"] = str(TOKENS_PER_S / options.times)

    with (
        tempfile.TemporaryDirectory() as folder,
        Server(Path(folder), "gevent") as server,
        sync_playwright() as playwright,
    ):
        server.start()
        browser = launch(playwright)
        page = browser.new_page(viewport={"width": 600, "height": 888}, locale="en-US")
        chat = browser.new_page(viewport={"width": 305, "height": 280})
        stage = browser.new_page(viewport={"width": 1120, "height": 740})
        serve_page(chat, bundle(CLIENTS / "use_chat.jsx"))
        page.goto(server.url)
        stage.goto(STAGE.as_uri())

        def job_of() -> str | None:
            found = server.api.get("/v1/jobs?limit=1").json()["jobs"]
            return found[0]["id"] if found else None

        frames = record(server.url, page, chat, stage, job_of, options.times)
        browser.close()
    save(frames, options.to, options.times)
    print(f"{options.to}: {len(frames)} frames, {options.to.stat().st_size >> 10} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
