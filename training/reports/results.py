"""Read the results of each experiment, including all its seeds, from its model folder."""

import csv
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from mobilenetv3_cifar.variants import HISTORY_FILE, METRICS_FILE
from training.errors import ResultsError
from training.experiments import EXPERIMENTS, Experiment
from training.reports.schema import Metrics, read_metrics

Measure = Callable[[Metrics], float]


class Results(NamedTuple):
    """The metrics and history of an experiment's seed 0, and the metrics of its other seeds."""

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
        return [self.metrics, *self.seeds]

    def mean_of(self, measure: Measure) -> float:
        return statistics.mean(map(measure, self.runs))

    def at(self, epoch: int, column: str) -> float:
        return self.history[epoch - 1][column]


ResultsByName = Mapping[str, Results]


def measure(split: str, key: str) -> Measure:
    return lambda metrics: metrics[split][key]  # type: ignore[literal-required]


test_accuracy = measure("test", "accuracy")
test_precision = measure("test", "precision_macro")
validation_accuracy = measure("validation", "accuracy")
validation_loss = measure("validation", "loss")
train_accuracy = measure("train", "accuracy")
train_loss = measure("train", "loss")


def gap(metrics: Metrics) -> float:
    """Return training accuracy minus validation accuracy, both without augmentation or dropout."""
    return train_accuracy(metrics) - validation_accuracy(metrics)


def read(folder: Path) -> Results:
    with (folder / HISTORY_FILE).open(newline="", encoding="utf-8") as file:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    paths = [folder / METRICS_FILE, *sorted((folder / "seeds").glob("*.json"))]
    first, *seeds = map(read_metrics, paths)
    for path, metrics in zip(paths, (first, *seeds), strict=True):
        if metrics["epochs"] != (epochs := EXPERIMENTS[metrics["name"]].epochs):
            what = f"{path} is of a run of {metrics['epochs']} epochs, but its experiment now has"
            raise ResultsError(f"{what} {epochs}: delete the file and train again")
    return Results(first, rows, seeds)


def read_all(cards: Path) -> dict[str, Results]:
    """Read the results of all measured experiments, in the order of `EXPERIMENTS`."""
    return {
        name: read(cards / name) for name in EXPERIMENTS if (cards / name / METRICS_FILE).exists()
    }
