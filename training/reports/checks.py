"""Check the claims of the student report: measure quantities, and derive verdicts from them.

A function that measures a quantity takes the results of all experiments as its first argument. The
next arguments are the results of the experiments that the claim needs (see `claims.Claim.needs`).
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
    gap: "gap between training and validation accuracy",
}


class Quantity(NamedTuple):
    value: float
    margin: float  # values in [-margin, margin] count as 0; infinite if the variation is unknown
    numbers: str  # the numbers behind the value, for readers


def rises(quantity: Quantity) -> str:
    """Return the verdict on the claim that the value is above 0."""
    if abs(quantity.value) <= quantity.margin and quantity.margin > 0:
        return "not decidable"
    return "confirmed" if quantity.value > 0 else "not confirmed"


def falls(quantity: Quantity) -> str:
    return rises(quantity._replace(value=-quantity.value))


def still(quantity: Quantity) -> str:
    return "confirmed" if abs(quantity.value) <= quantity.margin else "not confirmed"


def signed(value: float, loss: bool = False) -> str:
    """Format a difference of losses or of accuracies (in percentage points), with its sign."""
    return f"{value:+z.3f}" if loss else points(value)


def show(quantity: Estimate | Quantity, loss: bool = False) -> str:
    """Format the value and its margin, in percentage points unless they are losses."""
    value = signed(quantity.value, loss)
    if math.isinf(quantity.margin):
        return f"{value} (variation unknown)"
    return f"{value} ± {signed(quantity.margin, loss)[1:]}"


def to_quantity(estimate: Estimate, numbers: str, loss: bool = False) -> Quantity:
    """Convert `estimate` to a Quantity, and append its value and margin to the text `numbers`."""
    return Quantity(estimate.value, estimate.margin, f"{numbers} {show(estimate, loss)}")


def compare(
    results: ResultsByName, one: Results, other: Results, measure: Measure = test_accuracy
) -> Quantity:
    """Return `measure` of `one` minus `measure` of `other`. `measure` must be a key of NAMES."""
    gain, loss = difference(one, other, results, measure), NAMES[measure].endswith("loss")
    means = [each.mean_of(measure) for each in (one, other)]
    first, second = (f"{mean:.3f}" if loss else percent(mean) for mean in means)
    numbers = f"{NAMES[measure]} {first} against {second}, a difference of {show(gain, loss)}"
    if one.row.report and other.row.report and measure is test_accuracy:
        theirs = points(one.row.report["accuracy"] - other.row.report["accuracy"])
        numbers += f" ({theirs} in the report)"
    return Quantity(gain.value, gain.margin, numbers)


def least_certain(several: Iterable[Quantity]) -> Quantity:
    """Return the least certain quantity: the one with the lowest ratio of value to margin."""
    return min(several, key=lambda each: each.value / max(each.margin, 1e-12))


def lead(results: ResultsByName, one: Results, *others: Results) -> Quantity:
    """Return the least certain of the leads in test accuracy that `one` has over `others`."""
    leads = {other.name: compare(results, one, other) for other in others}
    numbers = [f"compared with `{name}`, {each.numbers}" for name, each in leads.items()]
    return least_certain(leads.values())._replace(numbers="; ".join(numbers))


def gap_contrast(
    results: ResultsByName, one: Results, shorter: Results, other: Results, other_shorter: Results
) -> Quantity:
    """Return how much more the accuracy gap widens for `other` than for `one`.

    The widening for `one` is its `gap` minus the `gap` of `shorter`, which has fewer epochs.
    The widening for `other` is its `gap` minus the `gap` of `other_shorter`.
    """
    less = difference(one, shorter, results, gap)
    more = difference(other, other_shorter, results, gap)
    numbers = (
        f"the gap between training and validation accuracy changes by {points(less.value)} points "
        f"({one.row.size}) and {points(more.value)} points ({other.row.size}), a difference of"
    )
    return to_quantity(more.minus(less), numbers)


def above(results: ResultsByName, one: Results, limit: float) -> Quantity:
    mean = estimate(one, results)
    numbers = f"test accuracy {percent(mean.value)}, difference from {100 * limit:.0f} %:"
    return to_quantity(mean.of(mean.value - limit), numbers)


def gain_beyond_80(results: ResultsByName, one: Results, other: Results) -> Quantity:
    """Compare the test accuracy of `one` with that of `other` and with 80 %.

    Return the less certain of the two differences.
    """
    both = compare(results, one, other), above(results, one, 0.80)
    return least_certain(both)._replace(numbers="; ".join(each.numbers for each in both))


def test_minus_validation(results: ResultsByName, one: Results) -> Quantity:
    """Return test accuracy minus validation accuracy, with a margin of two standard errors."""
    test, valid = one.mean_of(test_accuracy), one.mean_of(validation_accuracy)
    sizes = [one.metrics["test"]["total"], one.metrics["validation"]["total"]]
    pooled = (test * sizes[0] + valid * sizes[1]) / sum(sizes)
    margin = 2 * math.sqrt(pooled * (1 - pooled) * sum(1 / size for size in sizes))
    numbers = (
        f"{percent(test)} test accuracy, {percent(valid)} validation accuracy; "
        f"two standard errors of the difference are {100 * margin:.2f} points"
    )
    return Quantity(test - valid, margin, numbers)


def imbalance(results: ResultsByName, one: Results) -> Quantity:
    """Return the largest difference between a class's recall and the mean recall of all classes."""
    recalls = [
        (statistics.mean(run["test"]["per_class"][label]["recall"] for run in one.runs), label)
        for label in one.metrics["test"]["per_class"]
    ]
    mean = statistics.mean(recall for recall, _ in recalls)
    (low, worst), (high, best) = min(recalls), max(recalls)
    numbers = f"recall from {percent(low)} ({worst}) to {percent(high)} ({best})"
    return Quantity(max(high - mean, mean - low), BALANCED, numbers)


def underfitting(results: ResultsByName, one: Results, full: Results) -> Quantity:
    """Return the least certain of four signs that `one` underfits.

    The signs are that `one` has a lower accuracy and a higher loss than `full`, which has no
    dropout, both on the training images and on the validation images.
    """
    accuracies = [
        compare(results, one, full, each) for each in (train_accuracy, validation_accuracy)
    ]
    losses = [compare(results, one, full, each) for each in (train_loss, validation_loss)]
    lower = [each._replace(value=-each.value) for each in accuracies]
    numbers = "; ".join(each.numbers for each in (*accuracies, *losses))
    return least_certain((*lower, *losses))._replace(numbers=numbers)


def lost_to_dropout(results: ResultsByName, one: Results, full: Results) -> Quantity:
    """Return how much validation accuracy `one` loses compared with `full`, which has no dropout.

    Both accuracies are measured after as many epochs as `one` has.
    """
    ours, epochs = estimate(one, results, validation_accuracy), len(one.history)
    theirs = variation(one, results, validation_accuracy).of(full.at(epochs, "valid_accuracy"))
    numbers = (
        f"validation accuracy after {epochs} epochs: {percent(theirs.value)} with dropout "
        f"{full.row.dropout:g} against {percent(ours.value)} with dropout {one.row.dropout:g}, "
        f"a difference of"
    )
    return to_quantity(theirs.minus(ours), numbers)


def next_epoch(results: ResultsByName, one: Results, longer: Results, other: Results) -> Quantity:
    """Return the mean gain of `longer` and `other` in epoch N + 1, where `one` has N epochs.

    A gain is the difference of two validation accuracies, so it has twice the variance of a single
    accuracy. Averaging two gains halves this variance.
    """
    last, runs = len(one.history), (longer, other)
    gains = [each.at(last + 1, "valid_accuracy") - each.at(last, "valid_accuracy") for each in runs]
    numbers = "; ".join(
        f"with dropout {each.row.dropout:g}, epoch {last + 1} adds {points(gain)}"
        for each, gain in zip(runs, gains, strict=True)
    )
    mean = variation(one, results, validation_accuracy).of(statistics.mean(gains))
    return to_quantity(mean, f"validation accuracy: {numbers}; on average")


def normalized_inputs(results: ResultsByName) -> Quantity:
    """Return how far normalised CIFAR-10 images are from mean 0 and standard deviation 1.

    As in the student report, the images are normalised with the constants for ImageNet.
    """
    means = (CIFAR10_MEAN - np.array(IMAGENET_MEAN)) / IMAGENET_STD
    deviations = np.array(CIFAR10_STD) / IMAGENET_STD
    numbers = (
        f"with ImageNet's constants, CIFAR-10's channels have means from {means.min():.2f} to "
        f"{means.max():.2f} and standard deviations from {deviations.min():.2f} to "
        f"{deviations.max():.2f}"
    )
    return Quantity(float(np.abs([means, deviations - 1]).max()), 0.01, numbers)


def evaluated_batch_norm(results: ResultsByName) -> Quantity:
    """Return how much a batch-norm layer in evaluation mode changes an input (0: not at all)."""
    value, mean, variance = torch.tensor([[3.0], [1.0], [4.0]])
    output = float(nn.functional.batch_norm(value[None], mean, variance, training=False, eps=0))
    numbers = (
        f"with a running mean of 1 and variance of 4, a PyTorch batch-norm layer in evaluation "
        f"mode maps 3 to {output:g}: it uses the running statistics"
    )
    return Quantity(output - 3, 0, numbers)
