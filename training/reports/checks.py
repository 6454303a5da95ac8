"""Checks of the report's claims that compare whole runs: accuracies, gaps, recalls.

A check takes the results it is about and, last, all results, from which run-to-run variation is
known. It returns a verdict and the numbers behind it. `curve_checks` has those that read histories.
"""

import math
import statistics
from typing import NamedTuple

import torch
from torch import nn

from mobilenetv3_cifar.preprocessing import CIFAR10_MEAN, CIFAR10_STD, IMAGENET_MEAN, IMAGENET_STD
from training.reports.results import (
    Results,
    ResultsByName,
    gap,
    percent,
    points,
    test_accuracy,
    train_accuracy,
    validation_accuracy,
)
from training.reports.variation import Estimate, difference, estimate_mean

BALANCED = 0.10  # how far a class's recall may be from the mean of all classes
WORST_FIRST = ("not confirmed", "not decidable", "confirmed")
UNDERFITTING = 0.05  # training accuracy below that after ten epochs without dropout


class Finding(NamedTuple):
    verdict: str  # confirmed, not confirmed, not decidable
    figures: str  # the numbers behind it


def verdict(holds: bool, figures: str) -> Finding:
    return Finding("confirmed" if holds else "not confirmed", figures)


def above_zero(gain: Estimate, figures: str, unit: str = "points") -> Finding:
    """Whether a gain is above 0; decided only if its 95 % interval excludes 0."""
    figures = f"{figures} {show(gain, unit)}"
    if gain.margin is None or abs(gain.value) <= gain.margin:
        return Finding("not decidable", figures)
    return verdict(gain.value > 0, figures)


def show(estimate: Estimate, unit: str = "points") -> str:
    """An estimate and its 95 % interval, in percentage points or as a loss."""
    scale, digits = (100, 2) if unit == "points" else (1, 3)
    value = f"{scale * estimate.value:+.{digits}f}"
    if estimate.margin is None:
        return f"{value} (variation unknown)"
    return f"{value} ± {scale * estimate.margin:.{digits}f}"


def better(one: Results, other: Results, results: ResultsByName) -> Finding:
    """Whether `one` has the higher test accuracy."""
    figures = f"{percent(one.mean)} against {percent(other.mean)}, a difference of"
    return above_zero(difference(one, other, results), figures)


def worse(one: Results, other: Results, results: ResultsByName) -> Finding:
    return better(other, one, results)


def best(one: Results, *others: Results, results: ResultsByName) -> Finding:
    """Whether `one` is better than each of the others."""
    findings = [better(one, other, results) for other in others]
    verdicts = [each.verdict for each in findings]
    figures = [
        f"against `{other.name}`, {finding.figures}{in_report(one, other)}"
        for other, finding in zip(others, findings, strict=True)
    ]
    return Finding(min(verdicts, key=WORST_FIRST.index), "; ".join(figures))


def in_report(one: Results, other: Results) -> str:
    """The report's own difference of two accuracies, where it prints both."""
    if not (one.row.report and other.row.report):
        return ""
    return f" ({points(one.row.report.accuracy - other.row.report.accuracy)} in the report)"


def generalises_worse(one: Results, regularised: Results, results: ResultsByName) -> Finding:
    """Whether high test accuracy comes at the cost of generalising: then the regularised network
    would be better on the test images."""
    finding = better(regularised, one, results)
    return finding._replace(figures=finding.figures + in_report(regularised, one))


def balanced(one: Results, results: ResultsByName) -> Finding:
    """Whether all classes are recognised about equally well; macro averages cannot tell."""
    recalls = {
        label: statistics.mean(run["test"]["per_class"][label]["recall"] for run in one.runs)
        for label in one.metrics["test"]["per_class"]
    }
    low, high = min(recalls, key=recalls.__getitem__), max(recalls, key=recalls.__getitem__)
    mean = statistics.mean(recalls.values())
    farthest = max(abs(recall - mean) for recall in recalls.values())
    figures = f"recall from {percent(recalls[low])} ({low}) to {percent(recalls[high])} ({high})"
    return verdict(farthest <= BALANCED, figures)


def mirrors_validation(one: Results, results: ResultsByName) -> Finding:
    """Whether test and validation accuracy differ by no more than the choice of images explains."""
    test, valid = one.mean_of(test_accuracy), one.mean_of(validation_accuracy)
    sizes = [one.metrics[split]["total"] for split in ("test", "validation")]
    pooled = (test * sizes[0] + valid * sizes[1]) / sum(sizes)
    error = math.sqrt(pooled * (1 - pooled) * sum(1 / size for size in sizes))
    figures = (
        f"{percent(test)} test accuracy, {percent(valid)} validation accuracy; "
        f"two standard errors of the difference are {100 * 2 * error:.2f} points"
    )
    return verdict(abs(test - valid) <= 2 * error, figures)


def gap_widens(longer: Results, shorter: Results, results: ResultsByName) -> Finding:
    """Whether validation accuracy gains less than training accuracy by training longer."""
    gains = (
        f"{name} accuracy {points(longer.mean_of(measure) - shorter.mean_of(measure))}"
        for name, measure in (("training", train_accuracy), ("validation", validation_accuracy))
    )
    figures = f"{', '.join(gains)}; the gap between them"
    return above_zero(difference(longer, shorter, results, gap), figures)


def keeps_improving(longer: Results, shorter: Results, results: ResultsByName) -> Finding:
    """Whether training longer still raises validation accuracy."""
    gain = difference(longer, shorter, results, validation_accuracy)
    return above_zero(gain, "change of validation accuracy")


def begins_to_overfit(longer: Results, shorter: Results, results: ResultsByName) -> Finding:
    """Whether training longer lowers validation accuracy: the opposite of `keeps_improving`."""
    improves = keeps_improving(longer, shorter, results)
    opposite = {"confirmed": "not confirmed", "not confirmed": "confirmed"}
    return improves._replace(verdict=opposite.get(improves.verdict, improves.verdict))


def gap_widens_less(
    longer: Results,
    shorter: Results,
    other_longer: Results,
    other_shorter: Results,
    results: ResultsByName,
) -> Finding:
    """Whether the gap of one network widens by less than that of another."""
    one = difference(longer, shorter, results, gap)
    other = difference(other_longer, other_shorter, results, gap)
    figures = f"the gap widens by {points(one.value)} against {points(other.value)} points"
    if one.deviation is None or other.deviation is None:
        return above_zero(Estimate(other.value - one.value, None), figures)
    deviation = math.hypot(one.deviation, other.deviation)
    contrast = Estimate(other.value - one.value, deviation, min(one.df, other.df))
    return above_zero(contrast, f"{figures}, a contrast of")


def underfits(one: Results, full: Results, results: ResultsByName) -> Finding:
    """Whether it is worse, also on its training images, than after ten epochs without dropout."""
    parts = []
    for name, split in (("training", "train"), ("validation", "validation")):
        accuracies, losses = (
            [statistics.mean(run[split][key] for run in each.runs) for each in (one, full)]  # type: ignore[literal-required]
            for key in ("accuracy", "loss")
        )
        parts.append((name, accuracies, losses))
    behind = parts[0][1][1] - parts[0][1][0]
    holds = behind > UNDERFITTING and all(losses[0] > losses[1] for _, _, losses in parts)
    figures = "; ".join(
        f"{name} accuracy {percent(accuracies[0])} against {percent(accuracies[1])}, "
        f"loss {losses[0]:.3f} against {losses[1]:.3f}"
        for name, accuracies, losses in parts
    )
    return verdict(holds, figures)


def over_70(one: Results, results: ResultsByName) -> Finding:
    """Whether the test accuracy of this setting is over 70 %."""
    mean = estimate_mean(one, results)
    above = mean._replace(value=mean.value - 0.70)
    return above_zero(above, f"test accuracy {percent(mean.value)}, relative to 70 %")


def schedule_limits(cosine: Results, step: Results, results: ResultsByName) -> Finding:
    """Whether, with everything else equal, a cosine schedule brings the network over 80 %."""
    finding = better(cosine, step, results)
    return finding if cosine.mean > 0.80 else finding._replace(verdict="not confirmed")


def normalises_to_unit(results: ResultsByName) -> Finding:
    """Whether the report's constants, ImageNet's, give inputs of mean 0 and deviation 1."""
    channels = list(zip(CIFAR10_MEAN, CIFAR10_STD, IMAGENET_MEAN, IMAGENET_STD, strict=True))
    means = [(mean - theirs) / std for mean, _, theirs, std in channels]
    deviations = [own / std for _, own, _, std in channels]
    figures = (
        f"with ImageNet's constants, CIFAR-10's channels have means from {min(means):.2f} to "
        f"{max(means):.2f} and standard deviations from {min(deviations):.2f} to "
        f"{max(deviations):.2f}"
    )
    holds = max(map(abs, means)) < 0.01 and max(abs(each - 1) for each in deviations) < 0.01
    return verdict(holds, figures)


def evaluation_disables_batch_norm(results: ResultsByName) -> Finding:
    """Whether a batch-norm layer in evaluation mode leaves its input as it is."""
    layer = nn.BatchNorm2d(1, eps=0).eval()
    layer.load_state_dict(
        {"running_mean": torch.tensor([1.0]), "running_var": torch.tensor([4.0])}, strict=False
    )
    with torch.inference_mode():
        output = float(layer(torch.full((1, 1, 1, 1), 3.0)))
    figures = (
        f"with a running mean of 1 and variance of 4, a PyTorch batch-norm layer in evaluation "
        f"mode maps 3 to {output:g}: it uses the running statistics"
    )
    return verdict(output == 3, figures)
