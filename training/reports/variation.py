"""Estimate how large a difference between runs or epochs can be by chance alone.

The standard deviation between runs comes from experiments with several seeds. All runs of the
student report's experiments share one split of the training images, so the effect of the split is
not included.
"""

import math
import statistics
from collections.abc import Callable
from typing import NamedTuple

from scipy import stats

from training.reports.results import Measure, Results, ResultsByName, test_accuracy

STILL_LR = 1e-6  # weights hardly move in epochs with at most this learning rate

Column = Callable[[dict[str, float]], float]  # reads a value from a row of the history


class Estimate(NamedTuple):
    value: float
    deviation: float = math.inf  # standard deviation; infinite if it is unknown
    df: int = 1  # degrees of freedom of the standard deviation

    @property
    def margin(self) -> float:
        """Half the width of the 95 % confidence interval, from Student's t distribution."""
        return float(stats.t.ppf(0.975, self.df)) * self.deviation

    def of(self, value: float, factor: float = 1) -> "Estimate":
        """Return an Estimate of `value` with `factor` times the standard deviation of `self`."""
        return Estimate(value, factor * self.deviation, self.df)

    def minus(self, other: "Estimate") -> "Estimate":
        """Return an Estimate of `self` minus `other`. The two must be independent."""
        deviation = math.hypot(self.deviation, other.deviation)
        return Estimate(self.value - other.value, deviation, min(self.df, other.df))


def deviation_of(values: list[float]) -> Estimate:
    """Return an Estimate with value 0 and the standard deviation of `values`.

    With fewer than two values, the standard deviation is infinite.
    """
    if len(values) < 2:
        return Estimate(0)
    return Estimate(0, statistics.stdev(values), len(values) - 1)


def variation(one: Results, results: ResultsByName, measure: Measure = test_accuracy) -> Estimate:
    """Estimate how much `measure` varies between the seeds of `one`. The Estimate's value is 0.

    If `one` has only one seed, another experiment is used instead: the one with the closest number
    of epochs among the student report's experiments with several seeds.
    """
    several = [each for each in results.values() if each.seeds and each.row.kind == "report"]
    if several and not one.seeds:
        one = min(several, key=lambda each: abs(each.row.epochs - one.row.epochs))
    return deviation_of([measure(metrics) for metrics in one.runs])


def estimate(one: Results, results: ResultsByName, measure: Measure = test_accuracy) -> Estimate:
    """Estimate the mean of `measure` over the seeds of `one`."""
    known = variation(one, results, measure)
    return known.of(one.mean_of(measure), 1 / math.sqrt(len(one.runs)))


def difference(
    one: Results, other: Results, results: ResultsByName, measure: Measure = test_accuracy
) -> Estimate:
    """Estimate the mean of `measure` for `one` minus the mean of `measure` for `other`.

    If the runs of one experiment are the beginnings of the runs of the other, only runs with the
    same seed are compared, and the value is the mean of their differences. If two such experiments
    have only one seed in common, the standard deviation comes from the first pair in `shared_runs`
    with several seeds in common.
    """
    if not (one.row.is_prefix_of(other.row) or other.row.is_prefix_of(one.row)):
        return estimate(one, results, measure).minus(estimate(other, results, measure))
    pairs = paired(one, other, measure)
    known = [pairs, *(paired(*both, measure) for both in shared_runs(results))]
    varies = deviation_of(next((each for each in known if len(each) > 1), []))
    return varies.of(statistics.mean(pairs), 1 / math.sqrt(len(pairs)))


def paired(one: Results, other: Results, measure: Measure) -> list[float]:
    """Return `measure` of `one` minus `measure` of `other`, for each seed that both have."""
    others = {run["seed"]: measure(run) for run in other.runs}
    return [measure(run) - others[run["seed"]] for run in one.runs if run["seed"] in others]


def shared_runs(results: ResultsByName) -> list[tuple[Results, Results]]:
    """Return the pairs (longer, shorter) of experiments that share runs.

    For each seed, the run of `longer` begins with all the epochs of the run of `shorter`.
    """
    every = results.values()
    return [(b, a) for a in every for b in every if a.row.is_prefix_of(b.row)]


def noise(one: Results, results: ResultsByName, column: Column) -> Estimate:
    """Estimate by how much `column` differs between two epochs through noise alone.

    The value of the Estimate is 0. Its standard deviation comes from the epochs whose learning rate
    is at most STILL_LR. If `one` has fewer than three such epochs, the student report's ten-epoch
    experiment with the same network size is used instead.
    """
    full = results.get(f"{one.row.size}-dropout0-epochs10", one)
    for each in (one, full):
        still = [column(row) for row in each.history if row["lr"] <= STILL_LR]
        if len(still) >= 3:
            return deviation_of(still).of(0, math.sqrt(2))
    return Estimate(0)
