"""A neural network with one hidden layer that tells classes apart, in numpy."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaming.tasks.analysis.table import BadCsv, delimiter_of

#: Rows, columns and classes of a data set at the most, and rows of a batch.
MAX_ROWS, MAX_FEATURES, MAX_CLASSES, BATCH = 100_000, 100, 50, 256

Figures = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Data:
    """Rows of figures, and the class of each as its number."""

    names: list[str]
    classes: list[str]
    figures: Figures
    labels: Labels

    def split(self, share: float, *, seed: int) -> tuple[Data, Data]:
        """The larger part, and `share` of the rows held back; the same for the same seed."""
        order = np.random.default_rng(seed).permutation(len(self.labels))
        held = max(1, int(len(order) * share))
        return self._rows(order[held:]), self._rows(order[:held])

    def batches(self, *, seed: int) -> Iterator[Data]:
        """All rows in an order of the seed's."""
        order = np.random.default_rng(seed).permutation(len(self.labels))
        for start in range(0, len(order), BATCH):
            yield self._rows(order[start : start + BATCH])

    def _rows(self, rows: Labels) -> Data:
        return Data(self.names, self.classes, self.figures[rows], self.labels[rows])


def spirals(rows: int = 600, *, seed: int) -> Data:
    """The sample: two spirals that no straight line tells apart."""
    dice = np.random.default_rng(seed)
    labels = np.arange(rows) % 2
    radius = dice.uniform(0.1, 1.0, rows)
    angle = radius * 1.5 * math.pi + labels * math.pi + dice.normal(0, 0.1, rows)
    figures = np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])
    return Data(["x", "y"], ["one", "other"], figures, labels.astype(np.int64))


def read_data(text: str) -> Data:
    """Columns of figures, the class in the last one. Raises `BadCsv` with line and column."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter_of(text), strict=True)
    names = _header(reader)
    figures: list[list[float]] = []
    labels: list[str] = []
    for row in reader:
        if any(cell.strip() for cell in row):
            figures.append(_figures(row, names, reader.line_num))
            labels.append(row[-1].strip())
        if len(labels) > MAX_ROWS:
            raise BadCsv(f"more than {MAX_ROWS} rows", reader.line_num, 1)
    classes = sorted(set(labels))
    if len(labels) < 10:
        raise BadCsv(
            f"at least 10 rows are needed; here are {len(labels)}", reader.line_num or 1, 1
        )
    if not 2 <= len(classes) <= MAX_CLASSES:
        problem = f"{len(classes)} classes; 2 to {MAX_CLASSES} are taken"
        raise BadCsv(problem, reader.line_num, names[-1])
    numbers = [classes.index(label) for label in labels]
    return Data(names[:-1], classes, np.array(figures), np.array(numbers, dtype=np.int64))


def _header(reader: Any) -> list[str]:
    names = [name.strip() for name in next(reader, [])]
    if len(names) < 2:
        raise BadCsv("a column of figures and one of classes are needed", 1, 1)
    if len(names) > MAX_FEATURES + 1:
        raise BadCsv(f"more than {MAX_FEATURES} columns of figures", 1, MAX_FEATURES + 1)
    return names


def _figures(row: Sequence[str], names: Sequence[str], line: int) -> list[float]:
    if len(row) != len(names):
        problem = f"{len(row)} cells, where the header has {len(names)}"
        raise BadCsv(problem, line, min(len(row), len(names)))
    found = []
    for name, cell in zip(names[:-1], row, strict=False):
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise BadCsv(f"{cell[:40]!r} is not a number", line, name)
        found.append(value)
    if not row[-1].strip():
        raise BadCsv("the class is missing", line, names[-1])
    return found


class Network:
    """Weights, and what they make of figures. It keeps the scale of the data it was made for."""

    def __init__(self, weights: dict[str, Figures]) -> None:
        self.weights = weights

    @classmethod
    def fresh(cls, data: Data, *, hidden: int, seed: int) -> Network:
        """One that knows nothing yet; the same for the same seed."""
        dice = np.random.default_rng(seed)
        features = data.figures.shape[1]
        with np.errstate(over="ignore", invalid="ignore"):  # beyond all figures: no loss is finite
            mean, spread = data.figures.mean(axis=0), data.figures.std(axis=0)
        return cls(
            {
                "mean": mean,
                "scale": np.where(spread > 0, spread, 1.0),
                "w1": dice.normal(0, (2 / features) ** 0.5, (features, hidden)),
                "b1": np.zeros(hidden),
                "w2": dice.normal(0, (2 / hidden) ** 0.5, (hidden, len(data.classes))),
                "b2": np.zeros(len(data.classes)),
            }
        )

    @classmethod
    def load(cls, weights: dict[str, Figures]) -> Network:
        return cls(weights)

    def chances(self, figures: Figures) -> Figures:
        """For each row the chance of each class."""
        return self._forward(figures)[2]

    def learn(self, batch: Data, rate: float) -> None:
        """One step down the gradient of the loss."""
        scaled, active, chances = self._forward(batch.figures)
        error = chances.copy()
        error[np.arange(len(batch.labels)), batch.labels] -= 1
        error /= len(batch.labels)
        back = (error @ self.weights["w2"].T) * (active > 0)
        with np.errstate(over="ignore", invalid="ignore"):  # the loss tells when it diverges
            self.weights["w2"] -= rate * active.T @ error
            self.weights["b2"] -= rate * error.sum(axis=0)
            self.weights["w1"] -= rate * scaled.T @ back
            self.weights["b1"] -= rate * back.sum(axis=0)

    def _forward(self, figures: Figures) -> tuple[Figures, Figures, Figures]:
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = (figures - self.weights["mean"]) / self.weights["scale"]
            active = np.maximum(0, scaled @ self.weights["w1"] + self.weights["b1"])
            scores = active @ self.weights["w2"] + self.weights["b2"]
            powers = np.exp(scores - scores.max(axis=1, keepdims=True))
            return scaled, active, powers / powers.sum(axis=1, keepdims=True)


def loss_of(network: Network, data: Data) -> float:
    """Cross-entropy: the mean surprise at the true classes."""
    right = network.chances(data.figures)[np.arange(len(data.labels)), data.labels]
    return float(-np.log(np.maximum(right, 1e-12)).mean())


def accuracy(network: Network, data: Data) -> float:
    """The share of the rows whose likeliest class is the true one."""
    return float((network.chances(data.figures).argmax(axis=1) == data.labels).mean())
