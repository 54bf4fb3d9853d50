"""How gunicorn serves this: read by the Procfile's command."""

from streaming.server.gunicorn_conf import *  # noqa: F403

wsgi_app = "wsgi:app"
