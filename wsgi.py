"""What servers load: `gunicorn -c gunicorn.conf.py`, `flask run`."""

from app import create_app

app = create_app()
