"""Check the claims of the student report: measure quantities, and derive verdicts from them.

A function that measures a quantity takes the results of all experiments as its first argument. Its
other arguments are the results of the experiments that the claim needs (see `claims.Claim.needs`).
The functions that measure training curves are in `curves`.
"""

import math
import statistics
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from mobilenetv3_cifar.preprocessing import CIFAR10_MEAN, CIFAR10_STD, IMAGENET_MEAN, IMAGENET_STD
from training.reports.results import (
    Measure,
    Results,
    ResultsByName,
    gap,
    test_accuracy,
    test_precision,
    train_accuracy,
    train_loss,
    validation_accuracy,
    validation_loss,
)
from training.reports.text import percent, points
from training.reports.variation import Estimate, difference, estimate, variation

BALANCED = 0.10  # how far the recall of a class may be from the mean recall of all classes
NAMES = {  # the name of each measure in generated text
    test_accuracy: "test accuracy",
    test_precision: "precision",
    train_accuracy: "training accuracy",
    train_loss: "training loss",
    validation_accuracy: "validation accuracy",
    validation_loss: "validation loss",
    gap: "accuracy gap",
}


class Measured(NamedTuple):
    value: float
    margin: float  # values in [-margin, margin] count as 0; infinite if the variation is unknown
    figures: str  # the numbers behind the value, for readers


def rises(measured: Measured) -> str:
    """Return the verdict on the claim that the value is above 0."""
    if abs(measured.value) <= measured.margin and measured.margin > 0:
        return "not decidable"
    return "confirmed" if measured.value > 0 else "not confirmed"


def falls(measured: Measured) -> str:
    return rises(measured._replace(value=-measured.value))


def still(measured: Measured) -> str:
    return "confirmed" if abs(measured.value) <= measured.margin else "not confirmed"


def show(measured: Estimate | Measured, scale: float = 100, digits: int = 2) -> str:
    """Format the value and its margin, by default in percentage points."""
    value = f"{scale * measured.value:+.{digits}f}"
    if math.isinf(measured.margin):
        return f"{value} (variation unknown)"
    return f"{value} ± {scale * measured.margin:.{digits}f}"


def measured(value: Estimate, figures: str) -> Measured:
    return Measured(value.value, value.margin, f"{figures} {show(value)}")


def compare(
    results: ResultsByName, one: Results, other: Results, measure: Measure = test_accuracy
) -> Measured:
    """Return `measure` of `one` minus `measure` of `other`. `measure` must be a key of NAMES."""
    found, loss = difference(one, other, results, measure), NAMES[measure].endswith("loss")
    means = [each.mean_of(measure) for each in (one, other)]
    first, second = (f"{mean:.3f}" if loss else percent(mean) for mean in means)
    shown = show(found, 1, 3) if loss else show(found)
    figures = f"{NAMES[measure]} {first} against {second}, a difference of {shown}"
    if one.row.report and other.row.report and measure is test_accuracy:
        theirs = points(one.row.report["accuracy"] - other.row.report["accuracy"])
        figures += f" ({theirs} in the report)"
    return Measured(found.value, found.margin, figures)


def least_certain(several: Iterable[Measured]) -> Measured:
    """Return the quantity with the lowest ratio of value to margin."""
    return min(several, key=lambda each: each.value / max(each.margin, 1e-12))


def lead(results: ResultsByName, one: Results, *others: Results) -> Measured:
    """Return the least certain of the leads in test accuracy that `one` has over `others`."""
    leads = {other.name: compare(results, one, other) for other in others}
    figures = [f"compared with `{name}`, {each.figures}" for name, each in leads.items()]
    return least_certain(leads.values())._replace(figures="; ".join(figures))


def gap_contrast(
    results: ResultsByName, one: Results, shorter: Results, other: Results, other_shorter: Results
) -> Measured:
    """Return how much more the accuracy gap widens for `other` than for `one`.

    The widening for `one` is its `gap` minus the `gap` of `shorter`, which has fewer epochs.
    The widening for `other` is its `gap` minus the `gap` of `other_shorter`.
    """
    less = difference(one, shorter, results, gap)
    more = difference(other, other_shorter, results, gap)
    figures = (
        f"the gap between training and validation accuracy changes by {points(less.value)} points "
        f"({one.row.size}) and {points(more.value)} points ({other.row.size}), a difference of"
    )
    return measured(more.minus(less), figures)


def above(results: ResultsByName, one: Results, limit: float) -> Measured:
    mean = estimate(one, results)
    figures = f"test accuracy {percent(mean.value)}, a difference from {100 * limit:.0f} % of"
    return measured(mean.of(mean.value - limit), figures)


def gain_beyond_80(results: ResultsByName, one: Results, other: Results) -> Measured:
    """Return the less certain lead in test accuracy that `one` has over `other` or over 80 %."""
    both = compare(results, one, other), above(results, one, 0.80)
    return least_certain(both)._replace(figures="; ".join(each.figures for each in both))


def test_minus_validation(results: ResultsByName, one: Results) -> Measured:
    """Return test accuracy minus validation accuracy.

    The margin is two standard errors of the difference.
    """
    test, valid = one.mean_of(test_accuracy), one.mean_of(validation_accuracy)
    sizes = [one.metrics["test"]["total"], one.metrics["validation"]["total"]]
    pooled = (test * sizes[0] + valid * sizes[1]) / sum(sizes)
    margin = 2 * math.sqrt(pooled * (1 - pooled) * sum(1 / size for size in sizes))
    figures = (
        f"{percent(test)} test accuracy, {percent(valid)} validation accuracy; "
        f"two standard errors of the difference are {100 * margin:.2f} points"
    )
    return Measured(test - valid, margin, figures)


def imbalance(results: ResultsByName, one: Results) -> Measured:
    """Return the largest difference between a class's recall and the mean recall of all classes."""
    recalls = [
        (statistics.mean(run["test"]["per_class"][label]["recall"] for run in one.runs), label)
        for label in one.metrics["test"]["per_class"]
    ]
    mean = statistics.mean(recall for recall, _ in recalls)
    (low, worst), (high, best) = min(recalls), max(recalls)
    figures = f"recall from {percent(low)} ({worst}) to {percent(high)} ({best})"
    return Measured(max(high - mean, mean - low), BALANCED, figures)


def underfitting(results: ResultsByName, one: Results, full: Results) -> Measured:
    """Return the least certain of four signs that `one`, unlike `full`, underfits.

    `full` has no dropout. The signs are a lower accuracy and a higher loss of `one` on the training
    images, and the same on the validation images.
    """
    accuracies = [
        compare(results, one, full, each) for each in (train_accuracy, validation_accuracy)
    ]
    losses = [compare(results, one, full, each) for each in (train_loss, validation_loss)]
    lower = [each._replace(value=-each.value) for each in accuracies]
    figures = "; ".join(each.figures for each in (*accuracies, *losses))
    return least_certain((*lower, *losses))._replace(figures=figures)


def lost_to_dropout(results: ResultsByName, one: Results, full: Results) -> Measured:
    """Return how much validation accuracy `one` loses compared with `full`, which has no dropout.

    Both accuracies are measured after as many epochs as `one` has.
    """
    ours, epochs = estimate(one, results, validation_accuracy), len(one.history)
    theirs = variation(one, results, validation_accuracy).of(full.at(epochs, "valid_accuracy"))
    figures = (
        f"validation accuracy after {epochs} epochs: {percent(theirs.value)} with dropout "
        f"{full.row.dropout:g} against {percent(ours.value)} with dropout {one.row.dropout:g}, "
        f"a difference of"
    )
    return measured(theirs.minus(ours), figures)


def next_epoch(results: ResultsByName, one: Results, longer: Results, other: Results) -> Measured:
    """Return the mean gain of `longer` and `other` in the epoch after the last epoch of `one`.

    A gain is a rise in validation accuracy. Its variance is twice the variance of an accuracy.
    Averaging two gains halves this variance, so the mean gain varies as much as one accuracy.
    """
    last, runs = len(one.history), (longer, other)
    gains = [each.at(last + 1, "valid_accuracy") - each.at(last, "valid_accuracy") for each in runs]
    figures = "; ".join(
        f"with dropout {each.row.dropout:g}, epoch {last + 1} adds {points(gain)}"
        for each, gain in zip(runs, gains, strict=True)
    )
    mean = variation(one, results, validation_accuracy).of(statistics.mean(gains))
    return measured(mean, f"validation accuracy: {figures}; on average")


def normalized_inputs(results: ResultsByName) -> Measured:
    """Return how far normalised CIFAR-10 images are from mean 0 and standard deviation 1.

    As in the student report, the images are normalised with the constants for ImageNet.
    """
    means = (CIFAR10_MEAN - np.array(IMAGENET_MEAN)) / IMAGENET_STD
    deviations = np.array(CIFAR10_STD) / IMAGENET_STD
    figures = (
        f"with ImageNet's constants, CIFAR-10's channels have means from {means.min():.2f} to "
        f"{means.max():.2f} and standard deviations from {deviations.min():.2f} to "
        f"{deviations.max():.2f}"
    )
    return Measured(float(np.abs([means, deviations - 1]).max()), 0.01, figures)


def evaluated_batch_norm(results: ResultsByName) -> Measured:
    """Return how much a batch-norm layer in evaluation mode changes an input (0: not at all)."""
    value, mean, variance = torch.tensor([[3.0], [1.0], [4.0]])
    output = float(nn.functional.batch_norm(value[None], mean, variance, training=False, eps=0))
    figures = (
        f"with a running mean of 1 and variance of 4, a PyTorch batch-norm layer in evaluation "
        f"mode maps 3 to {output:g}: it uses the running statistics"
    )
    return Measured(output - 3, 0, figures)
