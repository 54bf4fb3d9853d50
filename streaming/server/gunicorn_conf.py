"""How gunicorn serves the service; `gunicorn.conf.py` imports all of it.

An installed package is served with `gunicorn -c python:streaming.server.gunicorn_conf`. See
ARCHITECTURE.md, "Shutdown".
"""

import os
import sys
import tempfile

# Before anything else is imported: locks made before the patching would hang the worker (oddity 1).
if os.environ.get("GUNICORN_WORKER_CLASS", "gevent") == "gevent":
    from gevent import monkey

    monkey.patch_all()

from streaming.config import Settings
from streaming.errors import InvalidSettings

try:
    settings = Settings.load()
    settings.check_exposure()
except InvalidSettings as error:
    sys.exit(f"cannot start: {error}")

# Where web processes combine their metrics. The library reads it when it is imported.
if settings.web_processes > 1 and "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="streaming-metrics-")

from streaming.server.hooks import (  # noqa: F401
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

raise_descriptor_limit()

wsgi_app = "streaming.server.service:create_app()"
bind = (
    f"[{settings.host}]:{settings.port}"
    if ":" in settings.host
    else f"{settings.host}:{settings.port}"
)
worker_class = settings.worker_class
# WEB_CONCURRENCY with a shared log; the log in SQLite has one writing process.
workers = settings.web_processes
# Above our own limit of streams, so that health checks and POSTs always find a place.
worker_connections = (settings.max_streams or 0) + 1000
threads = settings.threads
timeout = 60
# Our own drain is over by then; what remains is cut.
graceful_timeout = int(settings.drain_s) + 5
# Longer than proxies keep idle connections (nginx and AWS 60 s, Heroku 90 s): a request on a
# connection that we close at that very moment would be lost.
keepalive = 100
control_socket_disable = True
if os.path.isdir("/dev/shm"):
    worker_tmp_dir = "/dev/shm"
logger_class = Logger
accesslog = os.environ.get("GUNICORN_ACCESS_LOG")
# Paths without their query, which may hold a ticket; no Referer, for the same reason.
access_log_format = '%(h)s %(l)s %(u)s %(t)s "%(m)s %(U)s %(H)s" %(s)s %(b)s "%(a)s"'
# A feed names up to a hundred jobs, its ticket names them again.
limit_request_line = 8190
