"""What takes long. It runs in the app's context: `url_for`, `current_app` and the like work."""

from flask import current_app, url_for

from shop.extensions import streaming


@streaming.task("report", steps=["collect", "write"])
def report(ctx, input):
    """A report of a day."""
    ctx.step("collect", ctx.sleep, 0.1)
    yield f"{current_app.name} on {input['day']}: "
    yield f"see {url_for('views.show', day=input['day'])}"
