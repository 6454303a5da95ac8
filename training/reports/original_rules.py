"""The rules that judged the report's claims at first, kept so that their verdicts stay visible.

They were committed on 22 November 2026 (827579a), before any run of a Large network, and read seed
0 where a comparison of two settings did not average over seeds. A rule that is not here is
unchanged.
"""

from collections.abc import Callable
from itertools import permutations

from training.reports import checks
from training.reports.checks import Finding, verdict
from training.reports.results import Results, ResultsByName, gap, of_reproduction, test_accuracy
from training.reports.variation import Estimate, difference

DEVIATIONS = 2  # a difference counted beyond so many standard deviations
OVERFITTING = 0.05  # training accuracy above validation accuracy
FLAT = 0.005  # an accuracy that changes by less over several epochs stands still

Check = Callable[[Results, ResultsByName], Finding]


def seed_0(check: Callable[..., Finding]) -> Callable[..., Finding]:
    """The same check on the runs with seed 0 alone."""

    def on_seed_0(*needed: Results, results: ResultsByName) -> Finding:
        return check(*(each._replace(seeds=[]) for each in needed), results=results)

    return on_seed_0


def outside(gain: Estimate) -> bool:
    return gain.deviation is not None and abs(gain.value) > DEVIATIONS * gain.deviation


def better(one: Results, other: Results, results: ResultsByName) -> Finding:
    gain = difference(one, other, results)
    return verdict(gain.value > 0, "") if outside(gain) else Finding("not decidable", "")


def worse(one: Results, other: Results, results: ResultsByName) -> Finding:
    return better(other, one, results)


def best(one: Results, *others: Results, results: ResultsByName) -> Finding:
    verdicts = [better(one, other, results).verdict for other in others]
    return Finding(min(verdicts, key=checks.WORST_FIRST.index), "")


def gap_opens(longer: Results, shorter: Results, results: ResultsByName) -> Finding:
    return verdict(gap(longer.metrics) - gap(shorter.metrics) > FLAT, "")


def gap_stays(longer: Results, shorter: Results, results: ResultsByName) -> Finding:
    return verdict(gap_opens(longer, shorter, results).verdict == "not confirmed", "")


def overfits(one: Results, results: ResultsByName) -> Finding:
    return verdict(gap(one.metrics) > OVERFITTING, "")


def plateau_from(epoch: int) -> Check:
    """Validation accuracy changes by less than 0.5 points, training accuracy rises by more."""

    def check(one: Results, results: ResultsByName) -> Finding:
        train, valid = (one.change(f"{split}_accuracy", epoch) for split in ("train", "valid"))
        return verdict(abs(valid) < FLAT and train > max(valid, 0), "")

    return check


def loss_gap_widens_from(epoch: int) -> Check:
    def check(one: Results, results: ResultsByName) -> Finding:
        return verdict(one.change("valid_loss", epoch) > one.change("train_loss", epoch), "")

    return check


def training_loss_falls_more_until(epoch: int) -> Check:
    """From the mean over epoch 1, and from the end of epoch 1 for validation."""

    def check(one: Results, results: ResultsByName) -> Finding:
        train, valid = (
            one.at(epoch, f"{split}_loss") - one.at(1, f"{split}_loss")
            for split in ("train", "valid")
        )
        return verdict(train < valid, "")

    return check


def over_70(one: Results, results: ResultsByName) -> Finding:
    """Replaced on 25 November (c19121d), after the run was seen, by two standard deviations."""
    return verdict(test_accuracy(one.metrics) > 0.70, "")


def schedule_limits(cosine: Results, step: Results, results: ResultsByName) -> Finding:
    passes = test_accuracy(cosine.metrics) > 0.80
    return better(cosine, step, results) if passes else verdict(False, "")


def count_order(results: ResultsByName) -> tuple[int, int]:
    """Of the pairs that the report has farther apart than two standard deviations of our
    difference, how many are in the same order in ours, by however little; and how many there are.
    """
    ours = []
    for one, other in permutations(of_reproduction(results).values(), 2):
        if one.row.report and other.row.report:
            reported = one.row.report.accuracy - other.row.report.accuracy
            gain = difference(one, other, results)
            if reported > 0 and outside(gain._replace(value=reported)):
                ours.append(gain.value > 0)
    return sum(ours), len(ours)
