"""Pages, which say who may start what."""

from flask import Blueprint, abort, session

from shop.extensions import streaming
from shop.tasks import report

views = Blueprint("views", __name__)


@views.post("/login/<user>")
def login(user):
    session["user"] = user
    return {"user": user}


@views.get("/<day>")
def show(day):
    return {"day": day}


@views.post("/<day>")
def start(day):
    if "user" not in session:
        abort(401)
    return streaming.submit(report, {"day": day}, idempotency_key=f"report {day}"), 202
