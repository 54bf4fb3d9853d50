"""Copies the files for browsers into the package when it is built; see pyproject.toml."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent


class BuildWithAssets(build_py):
    """Modules as ever, and `static/` and `templates/` as `streaming/web/assets`."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:  # `streaming.web.assets` finds them where they are edited
            return
        target = Path(self.build_lib) / "streaming" / "web" / "assets"
        for name in ("static", "templates"):
            shutil.copytree(HERE / name, target / name, dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithAssets})
