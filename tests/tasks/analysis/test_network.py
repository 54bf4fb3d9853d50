from __future__ import annotations

import numpy as np
import pytest

from streaming.tasks.analysis.network import Data, Network, accuracy, loss_of, read_data, spirals
from streaming.tasks.analysis.table import BadCsv


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
    data = read_data("a,b,class\n" + ROWS)

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
        ("a,b,class\n" + ROWS + "1,c0\n", 14, 2),
        ("a,b,class\n" + ROWS + "1,1,\n", 14, "class"),
        ("a,class\n" + "1,x\n" * 12, 13, "class"),
    ],
)
def test_bad_data_are_named_by_line_and_column(text: str, line: int, column: str | int) -> None:
    with pytest.raises(BadCsv) as failure:
        read_data(text)

    assert failure.value.extra == {"line": line, "column": column}
