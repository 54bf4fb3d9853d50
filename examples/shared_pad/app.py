"""A text that several people edit at once: a job orders and keeps what they change."""

import json
from base64 import b64decode, b64encode

from flask import Flask, redirect, render_template, url_for
from pycrdt import Doc, Text, merge_updates
from pydantic import BaseModel, Field, field_validator

from streaming import Streaming

#: Changes between two saves: what somebody who joins reads beside the saved text, at most.
SAVE_EVERY = 50
#: Seconds without a change after which a pad is closed.
QUIET_S = 3600

app = Flask(__name__)
streaming = Streaming(app)


class Change(BaseModel):
    """What a page sends: an update of its Yjs document, in base64."""

    update: str = Field(max_length=500_000)

    @field_validator("update")
    @classmethod
    def _can_be_read(cls, update):
        merge_updates(b64decode(update, validate=True))
        return update


@streaming.task("pad", "Shared pad", takes_input=Change, cooperative=True)
def pad(ctx, input):
    """Add up what people change. Pages read the changes from the log; this saves their sum."""
    doc = Doc()
    doc["text"] = text = Text()
    saved = ctx.restore({"changes": 0, "update": ""})
    if saved["update"]:
        doc.apply_update(b64decode(saved["update"]))
    changes = saved["changes"]
    for change in ctx.inputs(timeout_s=QUIET_S):
        doc.apply_update(b64decode(change["update"]))
        changes += 1
        if changes % SAVE_EVERY == 0:
            # The n-th change is event n or later: whoever has n changes goes on behind event n.
            update = b64encode(doc.get_update()).decode()
            ctx.checkpoint({"changes": changes, "update": update})
            saved = json.dumps({"after": changes, "update": update})
            ctx.artifact("pad.json", saved, media_type="application/json")
    yield str(text)


@app.get("/")
def start():
    return render_template("start.html")


@app.post("/pads")
def create():
    return redirect(url_for("show", job=streaming.submit(pad, {})["id"]))


@app.get("/pads/<job>")
def show(job):
    return render_template("pad.html", job=job)
