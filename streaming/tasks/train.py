"""The task `train`: a small neural network learns from a table, epoch by epoch."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import ConfigDict, Field

from streaming.errors import TaskError
from streaming.events.vocabulary import JsonObject
from streaming.running.context import JobContext
from streaming.running.task import task
from streaming.running.uploads import FileId
from streaming.tasks.analysis.chart import draw
from streaming.tasks.analysis.dataset import DataSet, Predicts, read_data
from streaming.tasks.analysis.network import (
    Data,
    Figures,
    Network,
    accuracy,
    error_of,
    loss_of,
    spirals,
)
from streaming.tasks.tables.options import TableOptions, options_last
from streaming.tasks.tables.refusal import BadCsv
from streaming.tasks.tables.table import Table

#: Bytes of an uploaded data set.
MAX_FILE_BYTES = 16 << 20
#: The share of the rows that the network does not learn from but is judged by.
HELD_BACK = 0.2


class TrainInput(TableOptions):
    """The data, how they are to be read, and how to learn from them."""

    model_config = ConfigDict(extra="forbid", title="Train a model", json_schema_extra=options_last)

    file: FileId | None = Field(
        None,
        title="File",
        description="An uploaded CSV file, what to predict in the last column; none: two spirals",
    )
    predict: Predicts | None = Field(
        None,
        title="Predict",
        description="The last column as classes or as a number; none: its values decide",
    )
    epochs: int = Field(30, title="Epochs", description="At the most", ge=1, le=500)
    hidden: int = Field(
        32, title="Hidden units", description="Size of the hidden layer", ge=1, le=256
    )
    learning_rate: float = Field(
        0.1, title="Learning rate", description="Size of the steps", gt=0, le=10
    )
    patience: int = Field(
        5, title="Patience", description="Epochs without a better loss before it stops", ge=1
    )
    seed: int = Field(
        0, title="Seed", description="The same seed and data give the same model", ge=0
    )


@task(
    "train",
    "Train a model",
    steps=[
        ("prepare", "Read the data"),
        ("train", "Train epoch by epoch"),
        ("save", "Save the model and its curve"),
    ],
    input=TrainInput,
    needs={"gpu": 1},  # numpy computes here; a larger network would not
)
def train(ctx: JobContext, input: TrainInput) -> JsonObject:
    """Train a small network: loss and accuracy by epoch, early stopping, the model as a file."""
    facts = ctx.step("prepare", prepare, ctx, input)
    learned = ctx.step("train", learn, ctx, input)
    ctx.step("save", save, ctx, facts, learned)
    best = learned["epochs"][learned["best"]]
    return {**facts, "epochs": len(learned["epochs"]), "stopped_early": learned["early"], **best}


def prepare(ctx: JobContext, input: TrainInput) -> JsonObject:
    """What the data are; data that are none fail the job with `bad_csv`."""
    found = load(ctx, input)
    data = found.data
    facts = {"rows": len(data.labels), "features": data.names, "classes": data.classes}
    return {**facts, "read_as": found.read_as}


def learn(ctx: JobContext, input: TrainInput) -> JsonObject:
    """The network with the least loss on what was held back. A later attempt goes on."""
    learning, judging = load(ctx, input).data.split(HELD_BACK, seed=input.seed)
    state = ctx.restore() or {"epochs": [], "best": 0, "weights": None, "kept": None}
    network = Network.fresh(learning, hidden=input.hidden, seed=input.seed)
    if state["weights"] is not None:
        network = Network.load(unpack(state["weights"]))
    early = is_over(state, input.patience)
    while len(state["epochs"]) < input.epochs and not early:
        epoch = len(state["epochs"]) + 1
        # One after the other, so that the same epoch has the same order in every attempt.
        for batch in learning.batches(seed=input.seed * 1000 + epoch):
            network.learn(batch, input.learning_rate)
            ctx.raise_if_cancelled()
        figures = judge(network, learning, judging)
        tell(ctx, figures)
        add(state, figures, network)
        ctx.checkpoint(state)
        ctx.progress(epoch, input.epochs, f"epoch {epoch} of at most {input.epochs}")
        early = is_over(state, input.patience)
    return {"epochs": state["epochs"], "best": state["best"], "kept": state["kept"], "early": early}


def judge(network: Network, learning: Data, judging: Data) -> dict[str, float]:
    kind, measure = ("error", error_of) if network.predicts_number else ("accuracy", accuracy)
    figures = {
        "loss": loss_of(network, learning),
        kind: measure(network, learning),
        "held_back_loss": loss_of(network, judging),
        f"held_back_{kind}": measure(network, judging),
    }
    if not all(np.isfinite(value) for value in figures.values()):
        message = "the loss is not finite: try a smaller learning_rate, or smaller figures"
        raise TaskError(message, code="diverged")
    return {name: round(value, 6) for name, value in figures.items()}


def tell(ctx: JobContext, figures: dict[str, float]) -> None:
    for name in [name for name in figures if not name.startswith("held_back_")]:
        ctx.metric(name, figures[name], labels={"data": "learned"})
        ctx.metric(name, figures[f"held_back_{name}"], labels={"data": "held back"})


def add(state: JsonObject, figures: dict[str, float], network: Network) -> None:
    state["epochs"].append(figures)
    state["weights"] = pack(network.weights)
    losses = [epoch["held_back_loss"] for epoch in state["epochs"]]
    if losses[-1] < min(losses[:-1], default=np.inf):
        state["best"], state["kept"] = len(losses) - 1, state["weights"]


def is_over(state: JsonObject, patience: int) -> bool:
    """Whether it has not got better for too long."""
    return bool(state["epochs"]) and len(state["epochs"]) - 1 - state["best"] >= patience


def save(ctx: JobContext, facts: JsonObject, learned: JsonObject) -> None:
    """`model.npz` for numpy, `curve.svg` for people, `epochs.csv` for both."""
    weights: Mapping[str, Any] = unpack(learned["kept"])
    buffer = io.BytesIO()
    np.savez(buffer, classes=np.array(facts["classes"]), **weights)
    ctx.artifact("model.npz", buffer.getvalue(), media_type="application/octet-stream")
    names = list(learned["epochs"][0])
    rows = [[number, *epoch.values()] for number, epoch in enumerate(learned["epochs"], start=1)]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([["epoch", *names], *rows])
    ctx.artifact("epochs.csv", text.getvalue(), media_type="text/csv")
    if len(rows) > 1:  # a line needs two points
        columns = {name: [epoch[name] for epoch in learned["epochs"]] for name in names}
        curve = Table("epoch", [str(row[0]) for row in rows], columns)
        ctx.artifact("curve.svg", draw("Training", curve, []), media_type="image/svg+xml")


def load(ctx: JobContext, input: TrainInput) -> DataSet:
    """The data of the file, or the sample; a table that is none fails the job with `bad_csv`."""
    if input.file is None:
        return DataSet(spirals(seed=input.seed), {"sample": "two spirals"})
    size = int(ctx.file_info(input.file)["size"])
    if size > MAX_FILE_BYTES:
        raise TaskError(f"the file is larger than {MAX_FILE_BYTES} bytes", code="file_too_large")
    try:
        with ctx.file_path(input.file) as path:
            return read_data(path, input.alone(), input.predict)
    except BadCsv as error:
        raise TaskError(str(error), code="bad_csv", **error.extra) from error


def pack(weights: Mapping[str, Figures]) -> str:
    """Arrays as text, to the last bit."""
    named = {
        name: [array.shape, base64.b64encode(array.astype("<f8").tobytes()).decode()]
        for name, array in weights.items()
    }
    return json.dumps(named)


def unpack(text: str) -> dict[str, Figures]:
    return {
        name: np.frombuffer(base64.b64decode(data), dtype="<f8").reshape(shape).copy()
        for name, (shape, data) in json.loads(text).items()
    }
