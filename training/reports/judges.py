"""How a conclusion is held against measured figures: a judge a kind, giving a verdict and why.

Each takes the variants that it is about and, last, all there are, from which chance is known.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

from training.reports.measured import (
    OVERFITTING,
    UNDERFITTING,
    Measured,
    Variants,
    difference,
    error_of_mean,
    percent,
    points,
)

FLAT = 0.005  # an accuracy that changes by less over several epochs stands still
BALANCED = 0.10  # how far a class's recall may be from their mean


class Finding(NamedTuple):
    verdict: str  # confirmed, not confirmed, not decidable
    figures: str  # that decide


def verdict(holds: bool, figures: str) -> Finding:
    return Finding("confirmed" if holds else "not confirmed", figures)


def better(one: Measured, other: Measured, variants: Variants) -> Finding:
    """Whether `one` has the higher test accuracy, by more than chance."""
    gain, deviation = difference(one, other, variants)
    return beyond_chance(gain, deviation, f"{percent(one.mean)} against {percent(other.mean)}")


def beyond_chance(gain: float, deviation: float | None, figures: str) -> Finding:
    """Whether a gain is above 0; decided only if it is farther from 0 than two deviations."""
    figures += f", {points(gain)} points"
    if deviation is None:
        return Finding("not decidable", f"{figures}; no spread over seeds is known")
    figures += f"; two standard deviations of that are {100 * 2 * deviation:.2f}"
    if abs(gain) <= 2 * deviation:
        return Finding("not decidable", figures)
    return verdict(gain > 0, figures)


def worse(one: Measured, other: Measured, variants: Variants) -> Finding:
    return better(other, one, variants)


def best(one: Measured, *others: Measured, variants: Variants) -> Finding:
    """Whether `one` is better than each of the others."""
    found = [better(one, other, variants) for other in others]
    verdicts = [each.verdict for each in found]
    order = ("not confirmed", "not decidable", "confirmed")
    return Finding(min(verdicts, key=order.index), "; ".join(each.figures for each in found))


def improves(one: Measured, variants: Variants) -> Finding:
    """Each epoch raises both accuracies and lowers both losses."""
    holds = all(
        later[f"{split}_accuracy"] > earlier[f"{split}_accuracy"]
        and later[f"{split}_loss"] < earlier[f"{split}_loss"]
        for earlier, later in pairwise(one.history)
        for split in ("train", "valid")
    )
    return verdict(holds, f"{changes(one, 'accuracy', 1)}; {changes(one, 'loss', 1)}")


def balanced(one: Measured, variants: Variants) -> Finding:
    """Whether the classes are recognised alike: macro averages cannot tell."""
    test = one.metrics["test"]
    recalls = {label: row["recall"] for label, row in test["per_class"].items()}
    low, high = min(recalls, key=recalls.__getitem__), max(recalls, key=recalls.__getitem__)
    mean = test["recall_macro"]
    farthest = max(abs(recall - mean) for recall in recalls.values())
    return verdict(
        farthest <= BALANCED,
        f"recall from {percent(recalls[low])} ({low}) to {percent(recalls[high])} ({high})",
    )


def mirrors_validation(one: Measured, variants: Variants) -> Finding:
    """Test and validation accuracy differ by no more than two standard errors of two shares."""
    test, valid = one.metrics["test"], one.metrics["validation"]
    share = (test["correct"] + valid["correct"]) / (test["total"] + valid["total"])
    error = math.sqrt(share * (1 - share) * (1 / test["total"] + 1 / valid["total"]))
    apart = test["accuracy"] - valid["accuracy"]
    figures = (
        f"{percent(test['accuracy'])} of the test, {percent(valid['accuracy'])} of the validation "
        f"pictures; two standard errors of the difference are {100 * 2 * error:.2f} points"
    )
    return verdict(abs(apart) <= 2 * error, figures)


def gap_opens(longer: Measured, shorter: Measured, variants: Variants) -> Finding:
    """With more epochs the training accuracy runs away from the validation accuracy."""
    figures = (
        f"training minus validation accuracy {points(shorter.gap)} points after "
        f"{shorter.row.epochs} epochs, {points(longer.gap)} after {longer.row.epochs}"
    )
    return verdict(longer.gap - shorter.gap > FLAT, figures)


def gap_stays(longer: Measured, shorter: Measured, variants: Variants) -> Finding:
    opens = gap_opens(longer, shorter, variants)
    return verdict(opens.verdict == "not confirmed", opens.figures)


def overfits(one: Measured, variants: Variants) -> Finding:
    figures = f"training minus validation accuracy {points(one.gap)} points"
    return verdict(one.gap > OVERFITTING, figures)


def plateau_from(epoch: int) -> Callable[[Measured, Variants], Finding]:
    """Validation accuracy stands still while training accuracy rises by more."""

    def judge(one: Measured, variants: Variants) -> Finding:
        train, valid = (one.change(f"{split}_accuracy", epoch) for split in ("train", "valid"))
        return verdict(abs(valid) < FLAT and train > max(valid, 0), changes(one, "accuracy", epoch))

    return judge


def loss_gap_widens_from(epoch: int) -> Callable[[Measured, Variants], Finding]:
    def judge(one: Measured, variants: Variants) -> Finding:
        last = len(one.history)
        before, after = (
            one.at(at, "valid_loss") - one.at(at, "train_loss") for at in (epoch, last)
        )
        figures = f"validation minus training loss {before:+.3f}, after {last} {after:+.3f}"
        figures = f"after {epoch} epochs {figures}"
        return verdict(after > before, figures)

    return judge


def training_loss_falls_more_until(epoch: int) -> Callable[[Measured, Variants], Finding]:
    def judge(one: Measured, variants: Variants) -> Finding:
        train, valid = (
            one.at(epoch, f"{split}_loss") - one.at(1, f"{split}_loss")
            for split in ("train", "valid")
        )
        return verdict(
            train < valid,
            f"epochs 1 to {epoch}: training loss {train:+.3f}, validation loss {valid:+.3f}",
        )

    return judge


def fluctuates_from(epoch: int) -> Callable[[Measured, Variants], Finding]:
    """Validation accuracy or loss gets worse at least once."""

    def judge(one: Measured, variants: Variants) -> Finding:
        steps = list(pairwise(one.history[epoch - 1 :]))
        falls = sum(later["valid_accuracy"] < earlier["valid_accuracy"] for earlier, later in steps)
        rises = sum(later["valid_loss"] > earlier["valid_loss"] for earlier, later in steps)
        figures = (
            f"of {len(steps)} epochs, validation accuracy falls in {falls}, loss rises in {rises}"
        )
        return verdict(falls + rises > 0, figures)

    return judge


def changes(one: Measured, measure: str, since: int) -> str:
    """What epochs did to a measure, for training and validation, in words."""
    train, valid = (one.change(f"{split}_{measure}", since) for split in ("train", "valid"))
    if measure == "accuracy":
        figures = f"training accuracy {points(train)}, validation accuracy {points(valid)} points"
    else:
        figures = f"training loss {train:+.3f}, validation loss {valid:+.3f}"
    return f"epochs {since} to {len(one.history)}: {figures}"


def underfits(one: Measured, full: Measured, variants: Variants) -> Finding:
    """Worse, on its own training pictures too, than the same network trained without limits."""
    splits = ("train", "validation")
    ours, theirs = ([each.metrics[split] for split in splits] for each in (one, full))
    holds = ours[0]["accuracy"] < theirs[0]["accuracy"] - UNDERFITTING and all(
        mine["loss"] > its["loss"] for mine, its in zip(ours, theirs, strict=True)
    )
    figures = "; ".join(
        f"{name} accuracy {percent(mine['accuracy'])} against {percent(its['accuracy'])}, "
        f"loss {mine['loss']:.3f} against {its['loss']:.3f}"
        for name, mine, its in zip(("training", "validation"), ours, theirs, strict=True)
    )
    return verdict(holds, figures)


def over_70(one: Measured, variants: Variants) -> Finding:
    """Whether the test accuracy is over 70 %, by more than chance."""
    gain, deviation = one.mean - 0.70, error_of_mean(one, variants)
    return beyond_chance(gain, deviation, f"test accuracy {percent(one.mean)}")


def schedule_limits(cosine: Measured, step: Measured, variants: Variants) -> Finding:
    """With everything else equal, a cosine schedule brings the network over 80 %."""
    found = better(cosine, step, variants)
    return found._replace(verdict="not confirmed" if cosine.test <= 0.80 else found.verdict)
