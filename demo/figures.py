"""The measured figures of the shipped networks, read from the files that commands wrote."""

import csv
import json
from functools import cache
from typing import Any

from demo.sample import ASSETS
from mobilenetv3_cifar.variants import METRICS_FILE, get_variant, list_variants

HISTORY_FILE = "history.csv"
PHOTOGRAPHS_FILE = ASSETS / "photographs.json"  # by `python -m benchmarks.photographs`
GAP = 0.05  # training minus validation accuracy: more is called overfitting, as in the model cards


@cache
def read_metrics(name: str) -> dict[str, Any]:
    return json.loads((get_variant(name).folder / METRICS_FILE).read_text(encoding="utf-8"))


@cache
def read_history(name: str) -> list[dict[str, float]]:
    """The epochs of a network's training; empty where its folder has no history."""
    path = get_variant(name).folder / HISTORY_FILE
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


@cache
def read_photographs() -> dict[str, Any]:
    """How often each network is right for photographs."""
    return json.loads(PHOTOGRAPHS_FILE.read_text(encoding="utf-8"))


def gap(name: str) -> float:
    metrics = read_metrics(name)
    return metrics["train"]["accuracy"] - metrics["validation"]["accuracy"]


def fitting(size: str) -> dict[str, str | None]:
    """The networks of a size that show each kind of fit best; None: no network does.

    Our own networks, trained for accuracy, are left out: they do not show what a setting does.
    """
    names = [
        variant.name
        for variant in list_variants()
        if variant.name.startswith(size) and read_metrics(variant.name).get("kind") != "own"
    ]
    train = {name: read_metrics(name)["train"]["accuracy"] for name in names}
    fits = next((name for name in names if gap(name) <= GAP), None)  # the best of validation
    limit = train[fits] - GAP if fits else 0.0
    low = [name for name in names if train[name] < limit]
    return {
        "Underfits": min(low, key=train.__getitem__, default=None),
        "Fits": fits,
        "Overfits": max((name for name in names if gap(name) > GAP), key=gap, default=None),
    }
