"""The packages from npm that package.json names, installed once, and pages made of them."""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path

from playwright.sync_api import Page

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"


def install() -> Path:
    """The folder of the pinned packages. One process installs them, others wait."""
    seen, lock = MODULES / ".package-lock.json", HERE / "package-lock.json"
    with lock.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not seen.exists() or seen.stat().st_mtime < lock.stat().st_mtime:
            command = ["npm", "ci", "--no-audit", "--no-fund"]
            subprocess.run(command, cwd=HERE, check=True, timeout=300)
            seen.touch()
    return MODULES


def bundle(source: Path) -> str:
    """A script for a page with all that it imports; `ai` is the one that `@ai-sdk/react` needs."""
    options = [
        "--bundle",
        "--jsx=automatic",
        "--alias:ai=ai7",
        '--define:process.env.NODE_ENV="production"',
        "--log-level=warning",
    ]
    command = [str(install() / ".bin" / "esbuild"), str(source), *options]
    environment = {**os.environ, "NODE_PATH": str(MODULES)}
    made = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    if made.returncode:
        raise RuntimeError(f"{source.name} is not bundled: {made.stderr[-2000:]}")
    return made.stdout


def serve_page(tab: Page, script: str) -> None:
    """From now on `/use-chat` of any server is a page of its with this script."""
    script = script.replace("</script", "<\\/script")
    page = f'<!doctype html><meta charset="utf-8"><div id="chat"></div><script>{script}</script>'
    tab.unroute_all()
    tab.route("**/use-chat?*", lambda route: route.fulfill(body=page, content_type="text/html"))
