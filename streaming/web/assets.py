"""Where the files for browsers are: beside the package in a checkout, within it once installed.

They are edited in `static/` and `templates/`; `setup.py` copies them into `streaming/web/assets`
when a wheel is built, so that an installed package has them.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGED = Path(__file__).parent / "assets"
_CHECKOUT = Path(__file__).parents[2]


def assets(name: str) -> Path:
    """The folder `name`: `static`, `static/client`, `static/page` or `templates`."""
    packaged = _PACKAGED / name
    return packaged if packaged.is_dir() else _CHECKOUT / name
