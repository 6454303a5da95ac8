"""The results of an experiment: what its model folder holds, over all its seeds."""

import csv
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from training.experiments import EXPERIMENTS, Experiment
from training.reports.schema import Metrics, read_metrics

Split = Literal["train", "validation", "test"]
CONTROL = "small-dropout0-epochs10-cosine"  # the one control that the reproduction relies on


class Results(NamedTuple):
    """An experiment's metrics, its history by epoch, and the metrics of its other seeds.

    A history exists for seed 0 alone.
    """

    metrics: Metrics
    history: list[dict[str, float]]
    seeds: list[Metrics]

    @property
    def row(self) -> Experiment:
        return EXPERIMENTS[self.metrics["name"]]

    @property
    def name(self) -> str:
        return self.metrics["name"]

    @property
    def runs(self) -> list[Metrics]:
        """The metrics of every seed, the shipped one's first."""
        return [self.metrics, *self.seeds]

    @property
    def mean(self) -> float:
        """The mean test accuracy over all seeds."""
        return self.mean_of(test_accuracy)

    def mean_of(self, measure: Callable[[Metrics], float]) -> float:
        return statistics.mean(map(measure, self.runs))

    def at(self, epoch: int, column: str) -> float:
        return self.history[epoch - 1][column]

    def change(self, column: str, since: int) -> float:
        """By how much a column of the history changes from epoch `since` to the last."""
        return self.history[-1][column] - self.at(since, column)


ResultsByName = Mapping[str, Results]


def test_accuracy(metrics: Metrics) -> float:
    return metrics["test"]["accuracy"]


def validation_accuracy(metrics: Metrics) -> float:
    return metrics["validation"]["accuracy"]


def train_accuracy(metrics: Metrics) -> float:
    return metrics["train"]["accuracy"]


def gap(metrics: Metrics) -> float:
    """Training accuracy (unaugmented, evaluation mode) minus validation accuracy."""
    return train_accuracy(metrics) - validation_accuracy(metrics)


def read(folder: Path) -> Results:
    """The results in one model folder."""
    return Results(
        read_metrics(folder / "metrics.json"),
        read_history(folder / "history.csv"),
        [read_metrics(path) for path in sorted((folder / "seeds").glob("*.json"))],
    )


def read_all(cards: Path) -> dict[str, Results]:
    """The results of every experiment that has any, in the order of the experiments' rows."""
    return {name: read(cards / name) for name in EXPERIMENTS if has_results(cards / name)}


def has_results(folder: Path) -> bool:
    return (folder / "metrics.json").exists()


def in_reproduction(row: Experiment) -> bool:
    """Whether tables, claims and run-to-run variation read this experiment: the report's do, and
    the control of its schedule; networks of our own must not change what is said of the report."""
    return row.kind == "report" or row.name == CONTROL


def of_reproduction(results: ResultsByName) -> dict[str, Results]:
    return {name: each for name, each in results.items() if in_reproduction(each.row)}


def read_history(path: Path) -> list[dict[str, float]]:
    """The rows of a `history.csv`, one per epoch, as numbers."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def percent(fraction: float) -> str:
    return f"{100 * fraction:.2f} %"


def points(fraction: float) -> str:
    """A difference of two accuracies, in percentage points."""
    return f"{100 * fraction:+.2f}"
