"""What servers load: `flask run`, `gunicorn wsgi:app`."""

from shop import create_app

app = create_app(SECRET_KEY="change me")
