"""An app factory with a blueprint: each part in the file where one looks for it."""

from flask import Flask

from shop.extensions import streaming
from shop.views import views


def create_app(**config):
    app = Flask(__name__)
    app.config.update(config)
    streaming.init_app(app)
    app.register_blueprint(views, url_prefix="/reports")
    return app
