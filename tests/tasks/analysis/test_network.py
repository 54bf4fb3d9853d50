from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streaming.tasks.analysis.dataset import read_data
from streaming.tasks.analysis.network import Data, Network, accuracy, error_of, loss_of, spirals
from streaming.tasks.analysis.table import BadCsv
from streaming.tasks.tables.options import TableOptions


def test_a_step_goes_down_the_gradient_of_the_loss() -> None:
    data = spirals(40, seed=1)
    network = Network.fresh(data, hidden=5, seed=2)
    before = {name: array.copy() for name, array in network.weights.items()}
    slopes = {name: slope(before, data, name) for name in ("w1", "b1", "w2", "b2")}

    network.learn(data, 0.01)

    for name, expected in slopes.items():
        moved = (before[name] - network.weights[name]) / 0.01
        assert moved == pytest.approx(expected, abs=1e-4), name


def slope(weights: dict[str, np.ndarray], data: Data, name: str) -> np.ndarray:
    """The gradient by trying each weight a little to both sides."""
    found = np.zeros_like(weights[name])
    for at in np.ndindex(found.shape):
        losses = []
        for side in (1e-5, -1e-5):
            tried = {key: array.copy() for key, array in weights.items()}
            tried[name][at] += side
            losses.append(loss_of(Network(tried), data))
        found[at] = (losses[0] - losses[1]) / 2e-5
    return found


def test_it_learns_what_no_straight_line_tells_apart() -> None:
    data = spirals(seed=0)
    learning, judging = data.split(0.2, seed=0)
    network = Network.fresh(learning, hidden=32, seed=0)
    for epoch in range(200):
        for batch in learning.batches(seed=epoch):
            network.learn(batch, 0.5)

    assert accuracy(network, judging) > 0.95


def test_a_split_holds_each_row_once() -> None:
    learning, judging = spirals(50, seed=0).split(0.2, seed=3)

    rows = np.vstack([learning.figures, judging.figures])
    assert (len(judging.labels), len(np.unique(rows, axis=0))) == (10, 50)


ROWS = "".join(f"{n},{n % 3},c{n % 2}\n" for n in range(12))


def test_data_are_read_with_their_classes() -> None:
    data = read_data("a,b,class\n" + ROWS, TableOptions()).data

    assert (data.names, data.classes) == (["a", "b"], ["c0", "c1"])
    assert data.figures.shape == (12, 2)
    assert data.labels.tolist() == [n % 2 for n in range(12)]


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("", 1, 1),
        ("class\n", 1, 1),
        ("a,class\n1,x\n", 2, 1),
        ("a,b,class\n" + ROWS + "x,1,c0\n", 14, "a"),
        ("a,b,class\n" + ROWS + "inf,1,c0\n", 14, "a"),
        ("a,b,class\n" + ROWS + "1,c0\n", 14, "class"),
        ("a,class\n" + "1,x\n" * 12, 13, "class"),
    ],
)
def test_bad_data_are_named_by_line_and_column(text: str, line: int, column: str | int) -> None:
    with pytest.raises(BadCsv) as failure:
        read_data(text, TableOptions())

    assert (failure.value.extra["line"], failure.value.extra["column"]) == (line, column)


def test_rows_with_holes_are_left_out_and_counted() -> None:
    found = read_data("a,b,class\n" + ROWS + "1,1,\n,2,c0\n", TableOptions())

    assert len(found.data.labels) == 12
    assert found.read_as["left_out"] == [{"what": "rows with a missing cell", "count": 2}]


@pytest.mark.parametrize(
    ("goals", "predict", "classes"),
    [
        ([n % 22 for n in range(60)], None, 0),
        ([n % 3 for n in range(60)], None, 3),
        ([n % 3 + 0.5 for n in range(60)], None, 0),
        ([n % 3 for n in range(60)], "number", 0),
        ([n % 22 for n in range(60)], "classes", 22),
        ([f"c{n % 4}" for n in range(60)], None, 4),
    ],
)
def test_what_is_predicted_goes_by_rule_and_is_said(
    goals: list[object], predict: Any, classes: int
) -> None:
    text = "a,y\n" + "".join(f"{at},{goal}\n" for at, goal in enumerate(goals))

    found = read_data(text, TableOptions(), predict)

    assert len(found.data.classes) == classes
    assert found.read_as["predicts"]["as"] == ("classes" if classes else "number")


def test_a_number_is_learned() -> None:
    text = "a;y\n" + "".join(f"{at};{at * 1.5 + 2}\n".replace(".", ",") for at in range(40))
    data = read_data(text, TableOptions()).data
    network = Network.fresh(data, hidden=8, seed=0)
    for epoch in range(200):
        for batch in data.batches(seed=epoch):
            network.learn(batch, 0.1)

    assert error_of(network, data) < 1
    assert data.labels.tolist()[:3] == [2.0, 3.5, 5.0]


def test_a_step_goes_down_the_gradient_for_a_number_too() -> None:
    data = read_data("a,y\n" + "".join(f"{n},{n * n}.5\n" for n in range(12)), TableOptions()).data
    network = Network.fresh(data, hidden=4, seed=2)
    before = {name: array.copy() for name, array in network.weights.items()}
    slopes = {name: slope(before, data, name) for name in ("w1", "b1", "w2", "b2")}

    network.learn(data, 0.01)

    for name, expected in slopes.items():
        moved = (before[name] - network.weights[name]) / 0.01
        assert moved == pytest.approx(expected, abs=1e-4), name
