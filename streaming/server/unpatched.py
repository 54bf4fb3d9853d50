"""Keeps gevent from patching a process whose tasks need real threads."""

from __future__ import annotations

import importlib.abc
import importlib.util
import logging
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

logger = logging.getLogger("streaming.host")

_MONKEY = "gevent.monkey"
#: The functions that patch; others only report what is patched.
_PARTS = ("patch_item", "patch_module")


def refuse_patching() -> None:
    """Make `gevent.monkey.patch_all` and the like do nothing here from now on; they warn once."""
    if _MONKEY in sys.modules:
        _disarm(sys.modules[_MONKEY])
    else:  # not imported just for this: most apps never use it
        sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    """Disarms the module when somebody imports it."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if name != _MONKEY:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return None
        run = spec.loader.exec_module

        def run_and_disarm(module: ModuleType) -> None:
            run(module)
            _disarm(module)

        spec.loader.exec_module = run_and_disarm  # type: ignore[method-assign]
        return spec


def _disarm(module: ModuleType) -> None:
    told = False

    def patch_nothing(*_: object, **__: object) -> bool:
        nonlocal told
        if not told:
            told = True
            logger.info("gevent patches nothing in a task host: tasks run in real threads")
        return False

    for name in dir(module):
        if name.startswith("patch_") and name not in _PARTS and callable(getattr(module, name)):
            setattr(module, name, patch_nothing)
