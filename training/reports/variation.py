"""Variation: how far a difference must be from 0 before it counts.

Between runs, the standard deviation comes from settings that were trained with several seeds. All
runs share one split of the training images, so it leaves out what another split would change.

Between epochs of one run, it comes from epochs whose learning rate is at most 1e-6: the weights
hardly move there, so what differs is noise.
"""

import math
import statistics
from collections.abc import Callable
from typing import NamedTuple

from training.reports.results import (
    Results,
    ResultsByName,
    of_reproduction,
    test_accuracy,
)
from training.reports.schema import Metrics

# Student's t, 97.5 % quantile, for 1, 2, ... degrees of freedom: a two-sided 95 % interval is the
# estimate plus and minus so many standard deviations. From ten on, the last.
T_QUANTILES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
Z_QUANTILE = 1.960  # the same for a normal distribution
STILL_LR = 1e-6

Column = Callable[[dict[str, float]], float]  # of a row of the history


class Estimate(NamedTuple):
    """A quantity with its standard deviation over runs, and the degrees of freedom of that."""

    value: float
    deviation: float | None  # None while no setting has several seeds
    df: int = 0

    @property
    def margin(self) -> float | None:
        """Half the width of the 95 % interval."""
        return None if self.deviation is None else t_quantile(self.df) * self.deviation


class Variation(NamedTuple):
    """The standard deviation of one run, and how many seeds less one it was estimated from."""

    deviation: float
    df: int


def t_quantile(df: int) -> float:
    return T_QUANTILES[min(df, len(T_QUANTILES)) - 1]


def deviation_of(values: list[float]) -> Variation:
    return Variation(statistics.stdev(values), len(values) - 1)


def difference(
    one: Results,
    other: Results,
    results: ResultsByName,
    measure: Callable[[Metrics], float] = test_accuracy,
) -> Estimate:
    """How much higher `measure` is on average for `one` than for `other`.

    When both are checkpoints of the same runs, differences are taken seed by seed.
    """
    if one.row.is_prefix_of(other.row) or other.row.is_prefix_of(one.row):
        return paired_difference(one, other, results, measure)
    gain = one.mean_of(measure) - other.mean_of(measure)
    first, second = (variation(each, results, measure) for each in (one, other))
    if first is None or second is None:
        return Estimate(gain, None)
    parts = [
        each.deviation / math.sqrt(len(of.runs)) for each, of in ((first, one), (second, other))
    ]
    return Estimate(gain, math.hypot(*parts), min(first.df, second.df))


def paired_difference(
    one: Results, other: Results, results: ResultsByName, measure: Callable[[Metrics], float]
) -> Estimate:
    pairs = paired(one, other, measure)
    known = [pairs, *(paired(*pair, measure) for pair in shared_runs(results))]
    deviation = next((deviation_of(each) for each in known if len(each) > 1), None)
    gain = statistics.mean(pairs)
    if deviation is None:
        return Estimate(gain, None)
    return Estimate(gain, deviation.deviation / math.sqrt(len(pairs)), deviation.df)


def paired(one: Results, other: Results, measure: Callable[[Metrics], float]) -> list[float]:
    """The differences of `measure`, seed by seed."""
    others = {metrics["seed"]: measure(metrics) for metrics in other.runs}
    return [
        measure(metrics) - others[metrics["seed"]]
        for metrics in one.runs
        if metrics["seed"] in others
    ]


def shared_runs(results: ResultsByName) -> list[tuple[Results, Results]]:
    """(longer, shorter) for each two settings of which one run is a prefix of the other."""
    every = of_reproduction(results).values()
    return [(b, a) for a in every for b in every if a.row.is_prefix_of(b.row)]


def variation(
    one: Results, results: ResultsByName, measure: Callable[[Metrics], float] = test_accuracy
) -> Variation | None:
    """How much one run of this setting varies.

    A setting with one seed is assumed to vary as the setting that is nearest to it in epochs among
    those with several seeds.
    """
    several = [each for each in of_reproduction(results).values() if each.seeds]
    if one.seeds:
        several = [one]
    if not several:
        return None
    nearest = min(several, key=lambda each: abs(each.row.epochs - one.row.epochs))
    return deviation_of([measure(metrics) for metrics in nearest.runs])


def estimate_mean(one: Results, results: ResultsByName) -> Estimate:
    """The mean test accuracy over the seeds."""
    known = variation(one, results)
    if known is None:
        return Estimate(one.mean, None)
    return Estimate(one.mean, known.deviation / math.sqrt(len(one.runs)), known.df)


def difference_to_report(one: Results, results: ResultsByName) -> Estimate:
    """Our mean minus the report's accuracy, which is one run and varies as one of ours."""
    assert one.row.report
    known, gain = variation(one, results), one.mean - one.row.report.accuracy
    if known is None:
        return Estimate(gain, None)
    return Estimate(gain, known.deviation * math.sqrt(1 + 1 / len(one.runs)), known.df)


def still_epochs(one: Results) -> list[dict[str, float]]:
    return [row for row in one.history if row["lr"] <= STILL_LR]


def column(name: str) -> Column:
    return lambda row: row[name]


def change(
    one: Results, results: ResultsByName, value: Column, first: int, last: int = -1
) -> Estimate:
    """How a value changes from epoch `first` to epoch `last`, with its noise."""
    end = one.history[last if last < 0 else last - 1]
    return noise_of(one, results, value)._replace(value=value(end) - value(one.history[first - 1]))


def noise_of(one: Results, results: ResultsByName, value: Column) -> Estimate:
    """The noise of a difference of two epochs.

    A run without three still epochs is assumed to vary as the report's run of ten epochs with the
    network of the same size.
    """
    full = results.get(f"{one.row.size}-dropout0-epochs10", one)
    rows = max(still_epochs(one), still_epochs(full), key=lambda rows: len(rows) >= 3)
    if len(rows) < 3:
        return Estimate(0, None)
    deviation, df = deviation_of([value(row) for row in rows])
    return Estimate(0, math.sqrt(2) * deviation, df)


def accuracy_interval(correct: int, total: int) -> tuple[float, float]:
    """The 95 % interval of an accuracy over the choice of test images (Wilson 1927)."""
    accuracy, z = correct / total, Z_QUANTILE
    centre = accuracy + z**2 / (2 * total)
    half = z * math.sqrt(accuracy * (1 - accuracy) / total + z**2 / (4 * total**2))
    scale = 1 + z**2 / total
    return (centre - half) / scale, (centre + half) / scale
