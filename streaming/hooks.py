"""gunicorn's hooks: start in the worker, drain when it is told to leave.

An app of your own takes them into its `gunicorn.conf.py`:
`from streaming.hooks import on_starting, post_fork, post_worker_init, worker_exit`.
"""

from streaming.server.hooks import (
    Logger,
    child_exit,
    on_exit,
    on_reload,
    on_starting,
    post_fork,
    post_worker_init,
    raise_descriptor_limit,
    worker_exit,
)

__all__ = [
    "Logger",
    "child_exit",
    "on_exit",
    "on_reload",
    "on_starting",
    "post_fork",
    "post_worker_init",
    "raise_descriptor_limit",
    "worker_exit",
]
