"""This module makes up experimental results for tests of tables, cards and verdicts."""

import dataclasses

from mobilenetv3_cifar.folder import encode_config, read_config
from mobilenetv3_cifar.preprocessing import LABELS
from mobilenetv3_cifar.variants import variants_folder
from training.experiments import EXPERIMENTS
from training.reports.claims import CLAIMS, judge
from training.reports.results import Results

YES, NO, OPEN = "confirmed", "not confirmed", "not decidable"
# Many curves in these tests end with these four values, in epochs with learning rates up to
# `variation.STILL_LR`. From their spread, `variation.noise` computes a margin of 0.0037 for the
# difference between two epochs.
STILL = [0.700, 0.701, 0.699, 0.700]


def split(accuracy):
    scores = {"precision": 0.5, "recall": accuracy, "f1": 0.5, "support": 1000}
    return {
        "correct": round(accuracy * 10_000),
        "total": 10_000,
        "accuracy": accuracy,
        "loss": 0.7,
        "precision_macro": accuracy + 0.001,
        "recall_macro": accuracy,
        "f1_macro": accuracy,
        "top5_accuracy": 0.98,
        "ece": 0.01,
        "flagged": 0.05,
        "ece_untempered": 0.03,
        "per_class": {label: dict(scores) for label in LABELS},
        "confusion_matrix": [[100] * 10] * 10,
    }


def metrics(name, test, train=0.76, valid=0.74, seed=0):
    row = EXPERIMENTS[name]
    return {
        "name": name,
        "seed": seed,
        "epochs": row.epochs,
        "parameters": 1_836_082,
        "macs": 59_018_208,
        "weights": {"precision": "float32", "validation_change": 0.0, "sha256": "0" * 64},
        "train": {"correct": 1, "total": 35_000, "accuracy": train, "loss": 0.6},
        "validation": split(valid),
        "test": split(test),
        "report": row.report,
        "training": {
            "command": f"python -m training.train {name}",
            "seconds": 60.5,
            "precision": "float32",
            "processes": 1,
            "device": "cpu: a processor",
            "torch": "2",
            "commit": "c0ffee",
            "data_sha256": "d",
        },
    }


def config(**settings):
    """Return the content of a config.json with these settings."""
    shipped = read_config(variants_folder() / "small-overfit")[0]
    return encode_config(dataclasses.replace(shipped, **settings), "0" * 64)


def int8(accuracy):
    return {
        "correct": round(accuracy * 10_000),
        "total": 10_000,
        "accuracy": accuracy,
        "loss": 0.7,
        "validation_change": 0.0,
        "bytes": 2_100_000,
        "speedup": 1.2,
        "calibration_images": 256,
        "onnxruntime": "1",
        "device": "cpu: a processor",
    }


def learning_rates(epochs):
    return [1e-3 * 0.03 ** (epoch // 3) for epoch in range(epochs)]


def history(epochs, **columns):
    """Return the history of a run that improves every epoch. `columns` overrides some columns."""
    steady = {
        "epoch": [float(epoch) for epoch in range(1, epochs + 1)],
        "lr": learning_rates(epochs),
        "train_loss": [1 / epoch for epoch in range(1, epochs + 1)],
        "train_accuracy": [0.5 + epoch / 100 for epoch in range(epochs)],
        "valid_loss": [1.1 / epoch for epoch in range(1, epochs + 1)],
        "valid_accuracy": [0.4 + epoch / 100 for epoch in range(epochs)],
        "seconds": [10.0] * epochs,
    }
    filled = steady | columns
    return [{key: filled[key][epoch] for key in steady} for epoch in range(epochs)]


def results(name, test=0.75, train=0.76, valid=0.74, seeds=(), **columns):
    """Return invented results. Each value in `seeds` adds a run with this accuracy.

    The value is both the run's test accuracy and its validation accuracy.
    """
    others = [
        metrics(name, other, train, other, seed=seed) for seed, other in enumerate(seeds, start=1)
    ]
    epochs = EXPERIMENTS[name].epochs
    return Results(metrics(name, test, train, valid), history(epochs, **columns), others)


def by_name(*several):
    return {each.name: each for each in several}


def decide(name, says, *several):
    """Find the only claim about `name` with `says` in its text. Judge it by the given results."""
    (claim,) = [each for each in CLAIMS if each.needs[:1] == (name,) and says in each.says]
    return judge(claim, by_name(*several))
