"""The report's conclusions, each held against what was measured.

A conclusion is a row: where the report draws it, of which experiments, what it says in our words,
and a test that reads the measured figures. Where two settings are compared, a difference counts if
it is over two of its standard deviations, taken from the settings that have several seeds.
"""

import math
import statistics
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from training.card import GAP_OVERFITTING, percent

FLAT = 0.005  # validation accuracy: less than this over several epochs is a plateau


class Measured(NamedTuple):
    """A variant's metrics, its history by epoch, and the metrics of its other seeds."""

    metrics: dict[str, Any]
    history: list[dict[str, float]]
    seeds: list[dict[str, Any]]

    @property
    def test(self) -> float:
        return self.metrics["test"]["accuracy"]

    @property
    def gap(self) -> float:
        """Training accuracy (unaugmented, evaluation mode) minus validation accuracy."""
        return self.metrics["train"]["accuracy"] - self.metrics["validation"]["accuracy"]

    def at(self, epoch: int, column: str) -> float:
        return self.history[epoch - 1][column]


class Finding(NamedTuple):
    verdict: str  # confirmed, not confirmed, not decidable
    figures: str  # that decide


Variants = Mapping[str, Measured]


class Conclusion(NamedTuple):
    where: str
    needs: tuple[str, ...]  # of the first it says something, beside the others
    says: str
    judge: Callable[..., Finding]


def verdict(holds: bool, figures: str) -> Finding:
    return Finding("confirmed" if holds else "not confirmed", figures)


def deviation(variants: Variants) -> float | None:
    """The standard deviation of a test accuracy over seeds, pooled over settings with several."""
    groups = [
        [variant.test, *(seed["test"]["accuracy"] for seed in variant.seeds)]
        for variant in variants.values()
        if variant.seeds
    ]
    if not groups:
        return None
    return math.sqrt(statistics.mean(statistics.variance(group) for group in groups))


def better(one: Measured, other: Measured, spread: float | None) -> Finding:
    """Whether `one` has the higher test accuracy, by more than chance."""
    difference = one.test - other.test
    figures = f"{percent(one.test)} against {percent(other.test)}, {100 * difference:+.2f} points"
    if spread is None:
        return Finding("not decidable", f"{figures}; no spread over seeds is known")
    noise = 2 * math.sqrt(2) * spread
    figures += f"; two standard deviations of a difference are {100 * noise:.2f}"
    if abs(difference) <= noise:
        return Finding("not decidable", figures)
    return verdict(difference > 0, figures)


def generalises(one: Measured, spread: float | None) -> Finding:
    figures = f"training minus validation accuracy {100 * one.gap:+.2f} points"
    return verdict(one.gap <= GAP_OVERFITTING, figures)


def gap_opens(one: Measured, spread: float | None) -> Finding:
    """In the last epoch the training accuracy rises and the validation accuracy hardly does."""
    last = len(one.history)
    train, valid = (
        one.at(last, column) - one.at(last - 1, column)
        for column in ("train_accuracy", "valid_accuracy")
    )
    figures = f"epoch {last}: training {100 * train:+.2f}, validation {100 * valid:+.2f} points"
    return verdict(train - valid > FLAT, figures)


def plateau_from(epoch: int) -> Callable[[Measured, float | None], Finding]:
    def judge(one: Measured, spread: float | None) -> Finding:
        last = len(one.history)
        train, valid = (
            one.at(last, column) - one.at(epoch, column)
            for column in ("train_accuracy", "valid_accuracy")
        )
        return verdict(
            valid < FLAT < train,
            f"epochs {epoch} to {last}: training {100 * train:+.2f}, "
            f"validation {100 * valid:+.2f} points",
        )

    return judge


def overfits(one: Measured, spread: float | None) -> Finding:
    figures = f"training minus validation accuracy {100 * one.gap:+.2f} points"
    return verdict(one.gap > GAP_OVERFITTING, figures)


def underfits(one: Measured, full: Measured, spread: float | None) -> Finding:
    """Worse on its own training pictures than the same network trained longer without dropout."""
    ours, theirs = one.metrics["train"]["accuracy"], full.metrics["train"]["accuracy"]
    figures = f"training accuracy {percent(ours)} against {percent(theirs)} without dropout"
    return verdict(ours < theirs - GAP_OVERFITTING, figures)


def over_70(one: Measured, spread: float | None) -> Finding:
    return verdict(one.test > 0.70, f"test accuracy {percent(one.test)}")


def schedule_limits(cosine: Measured, step: Measured, spread: float | None) -> Finding:
    """With everything else equal, a cosine schedule brings the network over 80 %."""
    finding = better(cosine, step, spread)
    return finding._replace(
        verdict="not confirmed" if cosine.test <= 0.80 else finding.verdict,
    )


S4, S5 = "small-dropout0.7-epochs4", "small-dropout0.7-epochs5"
S10, S3 = "small-dropout0-epochs10", "small-dropout0.9-epochs3"
L4, L5 = "large-dropout0.7-epochs4", "large-dropout0.7-epochs5"
L10, L3 = "large-dropout0-epochs10", "large-dropout0.9-epochs3"
COSINE = "small-dropout0-epochs10-cosine"

# fmt: off
CONCLUSIONS = (
    Conclusion("section 9, figure 4", (S4,),
               "it generalises to unseen pictures", generalises),
    Conclusion("section 9, figure 5", (S5, S4),
               "a fifth epoch helps the small network slightly", better),
    Conclusion("section 9, figure 5", (S5,),
               "it shows the first signs of overfitting", gap_opens),
    Conclusion("section 10, figure 6", (S10,),
               "flat on validation from epoch 6, training accuracy rising", plateau_from(6)),
    Conclusion("section 10, figure 6", (S10,),
               "it overfits", overfits),
    Conclusion("section 10", (S10, S4),
               "it still scores higher than four epochs with dropout 0.7", better),
    Conclusion("section 10, figure 7", (S3, S10),
               "it underfits", underfits),
    Conclusion("section 11, figure 8", (L4, S4),
               "the large network is slightly better than the small one", better),
    Conclusion("section 12, figure 9", (L5, L4),
               "a fifth epoch helps the large network", better),
    Conclusion("section 12, figure 9", (L5,),
               "it shows no sign of overfitting", generalises),
    Conclusion("section 12, figure 10", (L10,),
               "marginal on validation from epoch 5, training accuracy rising", plateau_from(5)),
    Conclusion("section 12, figure 10", (L10,),
               "it overfits", overfits),
    Conclusion("section 12, figure 11", (L3, L10),
               "it underfits", underfits),
    Conclusion("section 12, figure 11", (L3,),
               "it still has over 70 % of the test pictures right", over_70),
    Conclusion("not in the report", (COSINE, S10),
               "the step schedule, not the network, keeps it below 80 %", schedule_limits),
)
# fmt: on


def judge(conclusion: Conclusion, variants: Variants) -> Finding:
    """The finding, or "not decidable" while a variant that it needs has not been trained."""
    missing = [name for name in conclusion.needs if name not in variants]
    if missing:
        return Finding("not decidable", f"not trained yet: {', '.join(missing)}")
    needed = [variants[name] for name in conclusion.needs]
    return conclusion.judge(*needed, deviation(variants))
