"""A module of tasks that takes long to load, as one does that imports half of machine learning."""

from __future__ import annotations

import os
import time

from streaming import task

time.sleep(float(os.environ["LOADS_FOR_S"]))


@task("slow")
def slow(ctx: object, input: object) -> str:
    return "done"
