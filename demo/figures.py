"""The measured figures of the shipped networks, read from their folders."""

import csv
import json
from functools import cache
from typing import Any, NamedTuple

from mobilenetv3_cifar.variants import METRICS_FILE, get_variant, list_variants

HISTORY_FILE = "history.csv"
CONFIG_FILE = "config.json"
GAP = 0.05  # training minus validation accuracy: more is called overfitting, as in the model cards


class Epoch(NamedTuple):
    """One row of a training history; accuracies are fractions."""

    epoch: int
    train_loss: float
    train_accuracy: float
    valid_loss: float
    valid_accuracy: float


@cache
def read_metrics(name: str) -> dict[str, Any]:
    return read_json(name, METRICS_FILE)


@cache
def read_config(name: str) -> dict[str, Any]:
    return read_json(name, CONFIG_FILE)


def read_json(name: str, file: str) -> dict[str, Any]:
    return json.loads((get_variant(name).folder / file).read_text(encoding="utf-8"))


@cache
def read_history(name: str) -> tuple[Epoch, ...]:
    """The epochs of a network's training; empty where its folder has no history."""
    path = get_variant(name).folder / HISTORY_FILE
    if not path.exists():
        return ()
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(
            Epoch(int(row["epoch"]), *(float(row[name]) for name in Epoch._fields[1:]))
            for row in csv.DictReader(file)
        )


def gap(name: str) -> float:
    metrics = read_metrics(name)
    return metrics["train"]["accuracy"] - metrics["validation"]["accuracy"]


def fitting(size: str) -> tuple[str | None, str | None, str | None]:
    """The networks of a size that show underfitting, a good fit and overfitting best; None: none.

    Our own networks, trained for accuracy, are left out: they do not show what a setting does.
    """
    names = [
        variant.name
        for variant in list_variants()
        if read_config(variant.name)["size"] == size
        and read_metrics(variant.name).get("kind") != "own"
    ]
    train = {name: read_metrics(name)["train"]["accuracy"] for name in names}
    fits = next((name for name in names if gap(name) <= GAP), None)  # the best of validation
    over = max((name for name in names if gap(name) > GAP), key=gap, default=None)
    limit = train[fits] - GAP if fits else 0.0
    low = [name for name in names if train[name] < limit]
    under = min(low, key=train.__getitem__, default=None)
    return under, fits, over
