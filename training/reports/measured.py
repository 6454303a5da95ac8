"""A published experiment as figures: what its folder holds, and how far chance moves them.

The accuracy of a setting is the mean over its seeds. What chance does is known from the settings
that were trained with several.
"""

import csv
import json
import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from training.experiments import EXPERIMENTS, Experiment

# Of training accuracy, unaugmented and in evaluation mode:
OVERFITTING = 0.05  # over the validation accuracy
UNDERFITTING = 0.05  # under that of the same network after ten epochs without dropout


class Measured(NamedTuple):
    """A variant's metrics, its history by epoch, and the metrics of its other seeds."""

    metrics: dict[str, Any]
    history: list[dict[str, float]]
    seeds: list[dict[str, Any]]

    @property
    def row(self) -> Experiment:
        return EXPERIMENTS[self.metrics["name"]]

    @property
    def test(self) -> float:
        """The test accuracy of the weights that are shipped, seed 0."""
        return self.metrics["test"]["accuracy"]

    @property
    def accuracies(self) -> dict[int, float]:
        """Test accuracies by seed, the shipped one's first."""
        return {each["seed"]: each["test"]["accuracy"] for each in (self.metrics, *self.seeds)}

    @property
    def mean(self) -> float:
        return statistics.mean(self.accuracies.values())

    @property
    def gap(self) -> float:
        """Training accuracy (unaugmented, evaluation mode) minus validation accuracy."""
        return self.metrics["train"]["accuracy"] - self.metrics["validation"]["accuracy"]

    def at(self, epoch: int, column: str) -> float:
        return self.history[epoch - 1][column]

    def change(self, column: str, since: int) -> float:
        """By how much a column of the history has changed from epoch `since` to the last."""
        return self.history[-1][column] - self.at(since, column)


Variants = Mapping[str, Measured]


def read(folder: Path) -> Measured:
    """The figures of one model folder."""
    return Measured(
        read_json(folder / "metrics.json"),
        read_history(folder / "history.csv"),
        [read_json(path) for path in sorted((folder / "seeds").glob("*.json"))],
    )


def read_all(cards: Path) -> dict[str, Measured]:
    """Every published experiment, in the order of the experiments' rows."""
    return {name: read(cards / name) for name in EXPERIMENTS if is_published(cards / name)}


def is_published(folder: Path) -> bool:
    return (folder / "metrics.json").exists()


def read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def read_history(path: Path) -> list[dict[str, float]]:
    """The rows of a `history.csv`, an epoch each, as numbers."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def difference(one: Measured, other: Measured, variants: Variants) -> tuple[float, float | None]:
    """How much more accurate `one` is on average, and the standard deviation of that.

    The deviation is None while no setting has several seeds.
    """
    if shared_run(one, other):
        found = paired(one, other)
        pairs = [found, *(paired(*pair) for pair in shared_runs(variants))]
        deviation = next((statistics.stdev(each) for each in pairs if len(each) > 1), None)
        return statistics.mean(found), deviation and deviation / math.sqrt(len(found))
    gain = one.mean - other.mean
    first, second = (error_of_mean(each, variants) for each in (one, other))
    return gain, None if first is None or second is None else math.hypot(first, second)


def shared_run(one: Measured, other: Measured) -> bool:
    """Whether with the same seed one of them is where the other's run had come some epochs ago."""
    return one.row.is_prefix_of(other.row) or other.row.is_prefix_of(one.row)


def shared_runs(variants: Variants) -> list[tuple[Measured, Measured]]:
    every = variants.values()
    return [(a, b) for a in every for b in every if a.row.is_prefix_of(b.row)]


def paired(one: Measured, other: Measured) -> list[float]:
    """The differences of test accuracy, seed by seed."""
    return [
        one.accuracies[seed] - other.accuracies[seed]
        for seed in one.accuracies
        if seed in other.accuracies
    ]


def error_of_mean(one: Measured, variants: Variants) -> float | None:
    """The standard deviation of `one.mean`.

    A setting with one seed is taken to vary as the one that is nearest to it in epochs, of those
    that have several.
    """
    several = [each for each in variants.values() if each.seeds]
    if not several:
        return None
    nearest = min(several, key=lambda each: (each != one, abs(each.row.epochs - one.row.epochs)))
    return statistics.stdev(nearest.accuracies.values()) / math.sqrt(len(one.accuracies))


def percent(fraction: float) -> str:
    return f"{100 * fraction:.2f} %"


def points(fraction: float) -> str:
    """A difference of accuracies, in points."""
    return f"{100 * fraction:+.2f}"
