"""A long export with progress, which goes on where it was after a restart, and ends as a file."""

import csv
import io

from flask import Flask, request
from pydantic import BaseModel, Field

from streaming import Streaming

app = Flask(__name__)
streaming = Streaming(app)


class Wanted(BaseModel):
    rows: int = Field(ge=1, le=100_000)


def read(number):
    """Stands for a slow query."""
    return [number, f"customer {number}", number * 19 % 1000 / 10]


@streaming.task("export", "Export customers", steps=["read", "write"], input=Wanted)
def export(ctx, input):
    rows = ctx.step("read", read_all, ctx, input.rows)
    ctx.step("write", write, ctx, rows)
    return {"rows": len(rows)}


def read_all(ctx, wanted):
    rows = ctx.restore([])
    for number in range(len(rows), wanted):
        ctx.sleep(0.01)
        rows.append(read(number))
        ctx.progress(len(rows), wanted)
        if len(rows) % 25 == 0:
            ctx.checkpoint(rows)
    return rows


def write(ctx, rows):
    text = io.StringIO()
    csv.writer(text).writerows([["number", "name", "turnover"], *rows])
    return ctx.artifact("customers.csv", text.getvalue(), media_type="text/csv")


@app.post("/exports")
def start():
    return streaming.submit(export, request.get_json(), title="All customers"), 202
