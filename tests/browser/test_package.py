"""The browser client as an npm package: with its types, and in Node as it is in browsers."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.browser.test_code import run, tools
from tests.e2e.clients import Api
from tests.e2e.server import Server

__all__ = ["tools"]

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "static" / "client"

WATCH = """
import { Streaming, fold } from "streaming-jobs-client";
const [, , base, job, options] = process.argv;
const streaming = new Streaming({ base, headers: { "X-CSRF-Token": "mine" } });
const seen = { events: [], job: null };
for await (const event of streaming.watch(job, JSON.parse(options))) {
  seen.events.push(event);
  seen.job = fold(seen.job, event);
}
const sent = await streaming.upload(new File(["a,b\\n1,2\\n"], "t.csv", { type: "text/csv" }));
console.log(JSON.stringify({ ...seen, sent }));
"""
TYPED = """
import { Streaming, fold, type Job } from "streaming-jobs-client";
const streaming = new Streaming({ headers: () => ({ a: "b" }) });
const job: Job = await streaming.submit({ task: "generate", title: "Tides" });
streaming.watch(job.id, { onEvent: (event) => fold(job, event).title.trim() });
// @ts-expect-error: a title is text
streaming.submit({ task: "generate", title: 7 });
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the packed client is installed."""
    folder = tmp_path_factory.mktemp("project")
    npm(CLIENT, "pack", "--pack-destination", str(folder))
    (packed,) = folder.glob("*.tgz")
    (folder / "package.json").write_text('{"type": "module"}')
    npm(folder, "install", "--no-audit", "--no-fund", "--offline", str(packed))
    (folder / "watch.js").write_text(WATCH)
    return folder


def npm(folder: Path, *arguments: str) -> None:
    subprocess.run(["npm", *arguments], cwd=folder, check=True, timeout=100, capture_output=True)


@pytest.mark.parametrize("options", [{}, {"transport": "sse"}, {"transport": "ndjson"}])
def test_in_node_a_watch_gives_the_whole_log(
    project: Path, server: Server, api: Api, options: dict[str, Any]
) -> None:
    job = api.submit("generate", {"prompt": "Tides", "max_tokens": 30, "tokens_per_s": 100})

    command = ["node", project / "watch.js", server.url, job, json.dumps(options)]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["events"] == api.log_of(job)
    assert seen["job"] == api.snapshot(job)
    assert seen["sent"]["name"] == "t.csv"


def test_the_package_has_types(project: Path, tools: Path) -> None:
    (project / "typed.ts").write_text(TYPED)
    options = ["--strict", "--noEmit", "--module", "esnext", "--moduleResolution", "bundler"]
    options += ["--target", "es2022", "--lib", "es2022,dom"]

    checked = run([tools / "tsc", *options, project / "typed.ts"])

    assert checked.returncode == 0, checked.stdout


def test_the_types_are_those_of_the_code(tools: Path, tmp_path: Path) -> None:
    script = ROOT / "scripts" / "types"
    environment = {**os.environ, "TYPES_DIR": str(tmp_path)}
    subprocess.run(["sh", script], env=environment, check=True, timeout=100)

    written = {file.relative_to(tmp_path): file.read_text() for file in tmp_path.rglob("*.d.ts")}
    kept = CLIENT / "types"
    assert written == {file.relative_to(kept): file.read_text() for file in kept.rglob("*.d.ts")}
