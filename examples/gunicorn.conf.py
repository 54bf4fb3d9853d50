"""How gunicorn serves the examples: `gunicorn -c ../gunicorn.conf.py app:app` in their folders."""

from gevent import monkey

monkey.patch_all()

from streaming.hooks import on_starting, post_fork, post_worker_init, worker_exit  # noqa: E402, F401

worker_class = "gevent"
workers = 1
graceful_timeout = 15
control_socket_disable = True
