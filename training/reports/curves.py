"""Measure quantities (see `checks`) on the training curves of runs with seed 0.

Training loss and accuracy are means over an epoch. Validation loss and accuracy are measured at the
end of the epoch.
"""

import math
import statistics
from itertools import pairwise
from operator import itemgetter

from training.reports.checks import Quantity, least_certain, show, signed, to_quantity
from training.reports.results import Results, ResultsByName
from training.reports.text import percent, points
from training.reports.variation import STILL_LR, noise

MARGINAL = 0.1  # gains per epoch are marginal if below this fraction of the earlier gains per epoch
COLUMNS = {
    "train_accuracy": "training accuracy",
    "train_loss": "training loss",
    "valid_accuracy": "validation accuracy",
    "valid_loss": "validation loss",
}


def change(results: ResultsByName, one: Results, column: str, epoch: int) -> Quantity:
    """Return how much `column` of the history changes between `epoch` and the last epoch."""
    random, end = noise(one, results, itemgetter(column)), one.history[-1][column]
    numbers = f"epochs {epoch} to {len(one.history)}: {COLUMNS[column]}"
    return to_quantity(random.of(end - one.at(epoch, column)), numbers, column.endswith("loss"))


def change_with_cosine(
    results: ResultsByName, step: Results, cosine: Results, epoch: int
) -> Quantity:
    """Return how much validation accuracy changes after `epoch` with the cosine schedule.

    With the step schedule, the learning rate after `epoch` is too low for the network to learn.
    """
    gain = change(results, cosine, "valid_accuracy", epoch)
    numbers = (
        f"from epoch {epoch + 1} on, the learning rate is at most {step.at(epoch + 1, 'lr'):.0e}; "
        f"with a cosine schedule instead, {gain.numbers}"
    )
    return gain._replace(numbers=numbers)


def smallest_improvement(results: ResultsByName, one: Results, last: int | None = None) -> Quantity:
    """Return the improvement from one epoch to the next that is smallest relative to its margin.

    An improvement is a rise of an accuracy or a fall of a loss. Only epochs up to `last` (by
    default, the last epoch) count.
    """
    rows, moved, steps = one.history[:last], [], []
    for column, name in COLUMNS.items():
        loss, random = column.endswith("loss"), noise(one, results, itemgetter(column))
        moved.append(f"{name} {signed(rows[-1][column] - rows[0][column], loss)}")
        for earlier, later in pairwise(rows):
            step = random.of(later[column] - earlier[column])
            numbers = f"{name} {show(step, loss)} in epoch {later['epoch']:.0f}"
            steps.append(Quantity(-step.value if loss else step.value, step.margin, numbers))
    least = least_certain(steps)
    numbers = f"epochs 1 to {len(rows)}: {', '.join(moved)}; smallest change relative to its margin"
    return least._replace(numbers=f"{numbers}: {least.numbers}")


def setbacks(results: ResultsByName, one: Results, epoch: int) -> Quantity:
    """Count how often validation accuracy falls or validation loss rises after `epoch`."""
    steps = list(pairwise(one.history[epoch - 1 :]))
    falls = sum(later["valid_accuracy"] < earlier["valid_accuracy"] for earlier, later in steps)
    rises = sum(later["valid_loss"] > earlier["valid_loss"] for earlier, later in steps)
    numbers = (
        f"of {len(steps)} epochs, validation accuracy falls in {falls}, "
        f"and validation loss rises in {rises}"
    )
    return Quantity(falls + rises, 0, numbers)


def largest_fall(results: ResultsByName, one: Results, epoch: int) -> Quantity:
    """Return the largest fall in training accuracy between successive epochs from `epoch` on."""
    accuracies = [row["train_accuracy"] for row in one.history[epoch - 1 :]]
    drop = max(0, *(earlier - later for earlier, later in pairwise(accuracies)))
    numbers = (
        f"epochs {epoch} to {len(one.history)}: training accuracy between "
        f"{percent(min(accuracies))} and {percent(max(accuracies))}; largest fall"
    )
    return to_quantity(noise(one, results, lambda row: row["train_accuracy"]).of(drop), numbers)


def training_gain_past_marginal(results: ResultsByName, one: Results, epoch: int) -> Quantity:
    """Return how much training accuracy changes after `epoch`.

    If validation accuracy still gains more than marginally after `epoch`, return -1 instead.
    """
    before = (one.at(epoch, "valid_accuracy") - one.at(1, "valid_accuracy")) / (epoch - 1)
    valid = change(results, one, "valid_accuracy", epoch)
    after = valid.value / (len(one.history) - epoch)
    rise = change(results, one, "train_accuracy", epoch)
    if after >= MARGINAL * before:
        rise = rise._replace(value=-1, margin=0)
    numbers = (
        f"validation accuracy gains {points(before)} points per epoch up to epoch {epoch}, and "
        f"{points(after)} per epoch after it; {rise.numbers}"
    )
    return rise._replace(numbers=numbers)


def loss_gap_change(
    results: ResultsByName, one: Results, epoch: int, last: int | None = None
) -> Quantity:
    """Return how much the loss gap changes between the middle of `epoch` and the middle of `last`.

    The loss gap is validation loss minus training loss. `last` defaults to the last epoch. The
    validation loss in the middle of an epoch is not recorded. If the loss falls along a convex
    curve, its value in the middle lies between its value at the end and the average of its values
    at the beginning and the end. `epoch` must be at least 2, because the validation loss at the
    beginning of epoch 1 is not recorded either.
    """
    last, bounds = last or len(one.history), []
    for at in (epoch, last):
        end, train = one.at(at, "valid_loss"), one.at(at, "train_loss")
        average = (one.at(at - 1, "valid_loss") + end) / 2
        bounds.append(sorted((end - train, average - train)))
    (low, high), (last_low, last_high) = bounds
    least, most = last_low - high, last_high - low
    random = noise(one, results, lambda row: row["valid_loss"] - row["train_loss"]).margin
    rise = Quantity((least + most) / 2, (most - least) / 2 + random, "")
    numbers = (
        f"validation loss minus training loss: {low:+.3f} to {high:+.3f} in epoch {epoch}, "
        f"{last_low:+.3f} to {last_high:+.3f} in epoch {last}; a change of {show(rise, loss=True)}"
    )
    return rise._replace(numbers=numbers)


def rise_from_lowest(results: ResultsByName, one: Results) -> Quantity:
    """Return the validation loss at the end of training minus the lowest loss of earlier epochs.

    The loss at the end is the mean over the epochs with a learning rate of at most STILL_LR, whose
    losses differ only by noise. If there are no such epochs, the loss at the end is the loss of the
    last epoch.
    """
    end = [row["valid_loss"] for row in one.history if row["lr"] <= STILL_LR]
    end = end or [one.history[-1]["valid_loss"]]
    earlier = one.history[: -len(end)]
    lowest = min(earlier, key=lambda row: row["valid_loss"])
    rise = noise(one, results, lambda row: row["valid_loss"]).of(
        statistics.mean(end) - lowest["valid_loss"],
        # `noise` is for the difference of two single epochs, but `end` is averaged over its epochs.
        math.sqrt((1 + 1 / len(end)) / 2),
    )
    last = "validation loss of the last epoch"
    if len(end) > 1:
        last = f"mean validation loss from epoch {len(earlier) + 1} on"
    compared = f"the lowest validation loss of the earlier epochs (epoch {lowest['epoch']:.0f})"
    return to_quantity(rise, f"{last}, minus {compared}:", loss=True)
