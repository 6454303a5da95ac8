"""Checks of the report's claims about curves; each reads the history of seed 0.

Training loss and accuracy are means over an epoch, taken while the weights change; validation is
measured at its end. Losses are therefore compared at the middle of an epoch.
"""

import math
import statistics
from collections.abc import Callable
from itertools import pairwise

from training.reports.checks import Finding, above_zero, show, verdict
from training.reports.results import Results, ResultsByName, percent, points, validation_accuracy
from training.reports.variation import (
    Estimate,
    change,
    column,
    noise_of,
    variation,
)

MARGINAL = 0.1  # a gain per epoch below this fraction of the mean gain before is marginal

Check = Callable[[Results, ResultsByName], Finding]


def loss_gap(row: dict[str, float]) -> float:
    return row["valid_loss"] - row["train_loss"]


def improves(one: Results, results: ResultsByName) -> Finding:
    """Whether each epoch raises both accuracies and lowers both losses."""
    return improves_until(len(one.history))(one, results)


def improves_until(epoch: int) -> Check:
    def check(one: Results, results: ResultsByName) -> Finding:
        rows = one.history[:epoch]
        holds = all(
            later[f"{split}_accuracy"] > earlier[f"{split}_accuracy"]
            and later[f"{split}_loss"] < earlier[f"{split}_loss"]
            for earlier, later in pairwise(rows)
            for split in ("train", "valid")
        )
        accuracies, losses = (
            [rows[-1][f"{split}_{key}"] - rows[0][f"{split}_{key}"] for split in ("train", "valid")]
            for key in ("accuracy", "loss")
        )
        figures = (
            f"epochs 1 to {len(rows)}: training accuracy {points(accuracies[0])}, loss "
            f"{losses[0]:+.3f}; validation accuracy {points(accuracies[1])}, loss {losses[1]:+.3f}"
        )
        return verdict(holds, figures)

    return check


def stands_still_from(epoch: int) -> Check:
    """Whether validation accuracy changes by no more than its noise."""

    def check(one: Results, results: ResultsByName) -> Finding:
        moved = change(one, results, column("valid_accuracy"), epoch)
        figures = f"epochs {epoch} to {len(one.history)}: validation accuracy {show(moved)}"
        if moved.margin is None:
            return Finding("not decidable", figures)
        return verdict(abs(moved.value) <= moved.margin, figures)

    return check


def training_rises_from(epoch: int) -> Check:
    def check(one: Results, results: ResultsByName) -> Finding:
        rise = change(one, results, column("train_accuracy"), epoch)
        return above_zero(rise, f"epochs {epoch} to {len(one.history)}: training accuracy")

    return check


def gains_marginal_from(epoch: int) -> Check:
    """Whether validation gains become marginal while training accuracy still rises."""

    def check(one: Results, results: ResultsByName) -> Finding:
        before = (one.at(epoch, "valid_accuracy") - one.at(1, "valid_accuracy")) / (epoch - 1)
        after = one.change("valid_accuracy", epoch) / (len(one.history) - epoch)
        rise = training_rises_from(epoch)(one, results)
        figures = (
            f"validation accuracy per epoch {points(before)} up to epoch {epoch}, {points(after)} "
            f"after it; {rise.figures}"
        )
        return (
            rise._replace(figures=figures) if after < MARGINAL * before else verdict(False, figures)
        )

    return check


def middle(one: Results, epoch: int) -> tuple[float, float]:
    """Bounds of the validation loss in the middle of an epoch: there its training loss belongs.

    On a falling convex curve it is between its value at the end and the average of beginning and
    end. Epoch 1 has none: the loss at its beginning is not recorded.
    """
    end = one.at(epoch, "valid_loss")
    average = (one.at(epoch - 1, "valid_loss") + end) / 2
    return min(end, average), max(end, average)


def loss_gap_widens_from(epoch: int) -> Check:
    """Whether validation loss draws away from training loss, at the middle of epochs."""

    def check(one: Results, results: ResultsByName) -> Finding:
        last = len(one.history)
        (low, high), (last_low, last_high) = (
            [bound - one.at(at, "train_loss") for bound in middle(one, at)] for at in (epoch, last)
        )
        least, most = last_low - high, last_high - low
        margin = noise_of(one, results, loss_gap).margin
        noise = "unknown" if margin is None else f"± {margin:.3f}"
        figures = (
            f"validation minus training loss {low:+.3f} to {high:+.3f} in epoch {epoch}, "
            f"{last_low:+.3f} to {last_high:+.3f} in epoch {last}; noise of a change {noise}"
        )
        if margin is None or (least <= margin and most >= -margin):
            return Finding("not decidable", figures)
        return verdict(least > margin, figures)

    return check


def training_loss_falls_more_until(epoch: int) -> Check:
    """Whether training loss falls more than validation loss, from the middle of epoch 2."""

    def check(one: Results, results: ResultsByName) -> Finding:
        (low, high), (last_low, last_high) = (middle(one, at) for at in (2, epoch))
        train = one.at(2, "train_loss") - one.at(epoch, "train_loss")
        least, most = low - last_high, high - last_low
        figures = (
            f"middle of epoch 2 to middle of epoch {epoch}: training loss falls by {train:.3f}, "
            f"validation loss by {least:.3f} to {most:.3f}"
        )
        if least <= train <= most:
            return Finding("not decidable", figures)
        return verdict(train > most, figures)

    return check


def fluctuates_from(epoch: int) -> Check:
    """Whether validation accuracy or loss gets worse at least once."""

    def check(one: Results, results: ResultsByName) -> Finding:
        steps = list(pairwise(one.history[epoch - 1 :]))
        falls = sum(later["valid_accuracy"] < earlier["valid_accuracy"] for earlier, later in steps)
        rises = sum(later["valid_loss"] > earlier["valid_loss"] for earlier, later in steps)
        figures = (
            f"of {len(steps)} epochs, validation accuracy falls in {falls}, loss rises in {rises}"
        )
        return verdict(falls + rises > 0, figures)

    return check


def training_stays_high_from(epoch: int) -> Check:
    """Whether training accuracy never falls by more than its noise."""

    def check(one: Results, results: ResultsByName) -> Finding:
        accuracies = [row["train_accuracy"] for row in one.history[epoch - 1 :]]
        drop = max(earlier - later for earlier, later in pairwise(accuracies))
        fall = noise_of(one, results, column("train_accuracy"))._replace(value=max(drop, 0))
        figures = (
            f"epochs {epoch} to {len(one.history)}: training accuracy from "
            f"{percent(min(accuracies))} to {percent(max(accuracies))}; largest fall {show(fall)}"
        )
        if fall.margin is None:
            return Finding("not decidable", figures)
        return verdict(fall.value <= fall.margin, figures)

    return check


def overfits(one: Results, results: ResultsByName) -> Finding:
    """Whether the validation loss rises again before the end, by more than its noise."""
    lowest = int(min(one.history, key=lambda row: row["valid_loss"])["epoch"])
    if lowest == len(one.history):
        return Finding("not confirmed", "the validation loss is lowest after the last epoch")
    rise = change(one, results, column("valid_loss"), lowest)
    figures = (
        f"the validation loss is lowest after epoch {lowest} of {len(one.history)}; from there to "
        f"the end it changes by {show(rise, 'loss')}"
    )
    if rise.margin is None:
        return Finding("not decidable", figures)
    return verdict(rise.value > rise.margin, figures)


def plateau_is_overfitting(step: Results, cosine: Results, results: ResultsByName) -> Finding:
    """Whether the plateau is overfitting: not if another schedule still gains at that point."""
    epoch = 6
    gain = change(cosine, results, column("valid_accuracy"), epoch)
    figures = (
        f"from epoch {epoch + 1} the learning rate is {step.at(epoch + 1, 'lr'):.0e} or less; with "
        f"a cosine schedule the same network still gains {show(gain)} points of validation accuracy"
    )
    still_gains = gain.margin is not None and gain.value > gain.margin
    return Finding("not confirmed" if still_gains else "not decidable", figures)


def dropout_hinders(one: Results, full: Results, results: ResultsByName) -> Finding:
    """Whether the dropout rate costs validation accuracy at an equal number of epochs."""
    epochs, ours = len(one.history), one.mean_of(validation_accuracy)
    theirs = full.at(epochs, "valid_accuracy")
    known, loss = variation(one, results, validation_accuracy), Estimate(theirs - ours, None)
    if known:
        deviation = known.deviation * math.sqrt(1 + 1 / len(one.runs))
        loss = Estimate(theirs - ours, deviation, known.df)
    figures = (
        f"validation accuracy after {epochs} epochs {percent(ours)} with dropout "
        f"{one.row.dropout:g}, {percent(theirs)} with dropout {full.row.dropout:g}, a loss of"
    )
    return above_zero(loss, figures)


def stopped_early(one: Results, *longer: Results, results: ResultsByName) -> Finding:
    """Whether another epoch would help, judged by the settings that were trained for longer."""
    last = len(one.history)
    gains = [
        each.at(last + 1, "valid_accuracy") - each.at(last, "valid_accuracy") for each in longer
    ]
    known, mean = variation(one, results, validation_accuracy), statistics.mean(gains)
    more = Estimate(mean, None)
    if known:
        more = Estimate(mean, math.sqrt(2 / len(gains)) * known.deviation, known.df)
    figures = "; ".join(
        f"with dropout {each.row.dropout:g}, epoch {last + 1} adds {points(gain)}"
        for each, gain in zip(longer, gains, strict=True)
    )
    return above_zero(more, f"validation accuracy: {figures}; on average")
