from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest

from streaming.errors import Interrupted, InvalidInput, TaskError
from streaming.tasks.analysis.network import Network, accuracy, spirals
from streaming.tasks.train import train
from tests.tasks.conftest import Bench

Make = Callable[..., Bench]


def test_each_epoch_tells_loss_and_accuracy(bench: Make) -> None:
    job = bench(train, epochs=4, patience=10)

    output = job.run()

    told = [(m["name"], m["labels"]["data"]) for m in job.data("metric")]
    assert (
        told
        == [
            ("loss", "learned"),
            ("loss", "held back"),
            ("accuracy", "learned"),
            ("accuracy", "held back"),
        ]
        * 4
    )
    losses = [m["value"] for m in job.data("metric") if m["name"] == "loss"]
    assert losses[-2] < losses[0]
    assert (output["epochs"], output["stopped_early"]) == (4, False)


def test_the_saved_model_is_the_one_that_was_judged(bench: Make) -> None:
    job = bench(train, epochs=20, learning_rate=0.5)

    output = job.run()

    saved = dict(np.load(io.BytesIO(job.artifact("model.npz"))))
    assert saved.pop("classes").tolist() == ["one", "other"]
    judging = spirals(seed=0).split(0.2, seed=0)[1]
    assert accuracy(Network(saved), judging) == pytest.approx(
        output["held_back_accuracy"], abs=1e-6
    )


def test_the_curve_is_drawn_and_listed(bench: Make) -> None:
    job = bench(train, epochs=3)

    job.run()

    assert job.artifact("curve.svg").startswith(b"<svg")
    lines = job.artifact("epochs.csv").decode().splitlines()
    assert lines[0] == "epoch,loss,accuracy,held_back_loss,held_back_accuracy"
    assert len(lines) == 4


def test_one_epoch_has_no_curve(bench: Make) -> None:
    job = bench(train, epochs=1)

    job.run()

    assert sorted(job.state.summary.artifacts) == ["epochs.csv", "model.npz"]


def test_it_stops_when_it_gets_no_better(bench: Make) -> None:
    job = bench(train, epochs=500, learning_rate=5, patience=2)

    output = job.run()

    assert output["stopped_early"]
    losses = [m["value"] for m in job.data("metric") if m["labels"]["data"] == "held back"][::2]
    assert output["held_back_loss"] == min(losses)
    assert losses.index(min(losses)) == len(losses) - 3


def test_a_later_attempt_goes_on_from_the_last_epoch(bench: Make) -> None:
    undisturbed = bench(train, epochs=6)
    expected = undisturbed.run()
    job = bench(train, epochs=6)
    with pytest.raises(Interrupted):
        job.run(stop_at=25)
    told = len(job.data("metric"))

    assert job.run() == expected

    assert 0 < told < 24
    assert len(job.data("metric")) < told + 24
    assert job.artifact("model.npz") == undisturbed.artifact("model.npz")


def test_uploaded_data_are_learned_from(bench: Make) -> None:
    job = bench(train, file="file_x", epochs=5)
    rows = "".join(f"{n},{'big' if n > 50 else 'small'}\n" for n in range(100))
    job.upload("file_x", f"size,class\n{rows}".encode())

    output = job.run()

    assert (output["rows"], output["classes"]) == (100, ["big", "small"])
    assert output["held_back_accuracy"] > 0.8


def test_bad_data_fail_the_first_step_with_line_and_column(bench: Make) -> None:
    job = bench(train, file="file_x")
    job.upload("file_x", b"a,class\nmany,x\n")

    with pytest.raises(TaskError) as failure:
        job.run()

    assert (failure.value.code, failure.value.extra) == ("bad_csv", {"line": 2, "column": "a"})
    assert job.state.steps["prepare"]["status"] == "failed"


def test_a_training_that_diverges_says_what_to_change(bench: Make) -> None:
    job = bench(train, file="file_x")
    rows = "".join(f"{(-1) ** n}e308,c{n % 3}\n" for n in range(400))
    job.upload("file_x", f"a,class\n{rows}".encode())

    with pytest.raises(TaskError, match="learning_rate") as failure:
        job.run()

    assert failure.value.code == "diverged"


@pytest.mark.parametrize(
    "given",
    [{"epochs": 0}, {"epochs": 501}, {"hidden": 0}, {"learning_rate": 0}, {"seed": -1}, {"x": 1}],
)
def test_a_bad_input_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        train.validate(given)
