"""A neural network with one hidden layer, in numpy, that predicts classes or a number."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

#: Maximum classes, and rows of a batch.
MAX_CLASSES, BATCH = 50, 256

Figures = NDArray[np.float64]
Labels = NDArray[np.int64]
#: What is to be learnt of each row: a number, or its class as a number.
Goals: TypeAlias = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Data:
    """Rows of figures, and the class of each as its number, or the number to predict."""

    names: list[str]
    #: Empty where a number is predicted.
    classes: list[str]
    figures: Figures
    labels: Goals

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
        goal = {} if data.classes else _scale_of(data.labels)
        return cls(
            {
                **goal,
                "mean": mean,
                "scale": np.where(spread > 0, spread, 1.0),
                "w1": dice.normal(0, (2 / features) ** 0.5, (features, hidden)),
                "b1": np.zeros(hidden),
                "w2": dice.normal(0, (2 / hidden) ** 0.5, (hidden, len(data.classes) or 1)),
                "b2": np.zeros(len(data.classes) or 1),
            }
        )

    @classmethod
    def load(cls, weights: dict[str, Figures]) -> Network:
        return cls(weights)

    @property
    def predicts_number(self) -> bool:
        return "goal_scale" in self.weights

    def chances(self, figures: Figures) -> Figures:
        """For each row the chance of each class."""
        return self._forward(figures)[2]

    def numbers(self, figures: Figures) -> Figures:
        """For each row the number that is predicted."""
        scaled = self._forward(figures)[2][:, 0]
        numbers: Figures = scaled * self.weights["goal_scale"] + self.weights["goal_mean"]
        return numbers

    def scaled(self, numbers: Figures) -> Figures:
        """Numbers to predict as the network has them: of mean 0 and deviation 1."""
        scaled: Figures = (numbers - self.weights["goal_mean"]) / self.weights["goal_scale"]
        return scaled

    def learn(self, batch: Data, rate: float) -> None:
        """One step down the gradient of the loss."""
        scaled, active, chances = self._forward(batch.figures)
        error = chances.copy()
        if self.predicts_number:
            error[:, 0] -= self.scaled(batch.labels)
        else:
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
            if self.predicts_number:
                return scaled, active, scores
            powers = np.exp(scores - scores.max(axis=1, keepdims=True))
            return scaled, active, powers / powers.sum(axis=1, keepdims=True)


def _scale_of(numbers: Figures) -> dict[str, Figures]:
    """Mean and deviation of what is predicted, which the network keeps."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = numbers.mean(), numbers.std()
    return {"goal_mean": np.asarray(mean), "goal_scale": np.asarray(deviation or 1.0)}


def loss_of(network: Network, data: Data) -> float:
    """Of classes the cross-entropy; of a number half the mean squared error, in deviations."""
    if network.predicts_number:
        with np.errstate(over="ignore", invalid="ignore"):
            guessed = network.scaled(network.numbers(data.figures))
            return float(((guessed - network.scaled(data.labels)) ** 2).mean() / 2)
    right = network.chances(data.figures)[np.arange(len(data.labels)), data.labels]
    return float(-np.log(np.maximum(right, 1e-12)).mean())


def accuracy(network: Network, data: Data) -> float:
    """The share of the rows whose likeliest class is the true one."""
    return float((network.chances(data.figures).argmax(axis=1) == data.labels).mean())


def error_of(network: Network, data: Data) -> float:
    """The root of the mean squared error of a predicted number, in its own unit."""
    with np.errstate(over="ignore", invalid="ignore"):
        return float(((network.numbers(data.figures) - data.labels) ** 2).mean() ** 0.5)
