"""The report's claims, each with the check that tests it against our results.

A claim is a row: where the report makes it, of which experiments, what it says in our words, the
check, and the rule by which it was judged at first where that was another.
`reproduction_template.md` explains the rules.
"""

from collections.abc import Callable
from itertools import combinations
from typing import NamedTuple

from training.reports import checks, curve_checks, original_rules
from training.reports.checks import Finding
from training.reports.original_rules import seed_0
from training.reports.results import CONTROL, Results, ResultsByName, of_reproduction, points
from training.reports.variation import Estimate, difference, variation


class Claim(NamedTuple):
    where: str
    needs: tuple[
        str, ...
    ]  # names of the experiments that the check takes; the claim is of the first
    says: str
    check: Callable[..., Finding]  # (*the needed results, results=all results)
    original: Callable[..., Finding] | None = None  # None: not judged at first


S4, S5 = "small-dropout0.7-epochs4", "small-dropout0.7-epochs5"
S10, S3 = "small-dropout0-epochs10", "small-dropout0.9-epochs3"
L4, L5 = "large-dropout0.7-epochs4", "large-dropout0.7-epochs5"
L10, L3 = "large-dropout0-epochs10", "large-dropout0.9-epochs3"

# fmt: off
CLAIMS = (
    Claim("section 3", (),
          "normalisation gives inputs of mean 0 and standard deviation 1",
          checks.normalises_to_unit),
    Claim("section 8, listing 13", (),
          "evaluation mode disables batch normalisation",
          checks.evaluation_disables_batch_norm),
    Claim("section 9", (S4, S5, S10, S3),
          "dropout 0.7 and 4 epochs are the best Small setting",
          checks.best, original_rules.best),
    Claim("section 9, figure 4", (S4,),
          "accuracies rise and losses fall in every epoch",
          curve_checks.improves, curve_checks.improves),
    Claim("section 9, figure 4", (S4,),
          "precision and recall agree, so the classes are recognised equally well",
          checks.balanced, seed_0(checks.balanced)),
    Claim("section 9, figure 4", (S4,),
          "test accuracy mirrors validation accuracy: it generalises",
          checks.mirrors_validation, seed_0(checks.mirrors_validation)),
    Claim("section 9, figure 5", (S5, S4),
          "a fifth epoch helps the Small network slightly",
          checks.better, original_rules.better),
    Claim("section 9, figure 5", (S5, S4),
          "in the fifth epoch validation accuracy gains less than training accuracy",
          checks.gap_widens),
    Claim("section 9, figure 5", (S5, S4),
          "the fifth epoch is the beginning of overfitting",
          checks.begins_to_overfit, original_rules.gap_opens),
    Claim("section 10, figure 6", (S10,),
          "at first training and validation accuracy improve steadily",
          curve_checks.improves_until(5)),
    Claim("section 10, figure 6", (S10,),
          "from epoch 6 validation accuracy stands still",
          curve_checks.stands_still_from(6), original_rules.plateau_from(6)),
    Claim("section 10, figure 6", (S10,),
          "from epoch 6 training accuracy still rises slightly",
          curve_checks.training_rises_from(6), original_rules.plateau_from(6)),
    Claim("section 10, figure 6", (S10, CONTROL),
          "the plateau is the onset of overfitting",
          curve_checks.plateau_is_overfitting),
    Claim("section 10, figure 6", (S10,),
          "the gap between training and validation loss begins to widen",
          curve_checks.loss_gap_widens_from(6), original_rules.loss_gap_widens_from(6)),
    Claim("section 10, figure 6", (S10,),
          "it overfits",
          curve_checks.overfits, original_rules.overfits),
    Claim("section 10, figure 6", (S10, S4),
          "its high test accuracy comes at the cost of generalising",
          checks.generalises_worse),
    Claim("section 10, figure 7", (S3, S10),
          "it underfits: higher losses than without dropout, in training and validation",
          checks.underfits, seed_0(checks.underfits)),
    Claim("section 10, figure 7", (S3, S10),
          "the dropout rate hinders its learning",
          curve_checks.dropout_hinders),
    Claim("section 10, figure 7", (S3, S4, S10),
          "stopping after three epochs keeps it from its potential accuracy",
          curve_checks.stopped_early),
    Claim("section 11, figure 8", (L4,),
          "accuracies rise and losses fall in every epoch",
          curve_checks.improves, curve_checks.improves),
    Claim("section 11, figure 8", (L4, S4),
          "the Large network is slightly better than the Small one",
          checks.better, original_rules.better),
    Claim("section 12, figure 9", (L5, L4),
          "a fifth epoch helps the Large network",
          checks.better, original_rules.better),
    Claim("section 12, figure 9", (L5, L4),
          "the fifth epoch shows no sign of overfitting",
          checks.keeps_improving, original_rules.gap_stays),
    Claim("section 12, figure 9", (L5, L4, S5, S4),
          "that is unlike the Small network, whose gap widens more",
          checks.gap_widens_less),
    Claim("section 12, figure 10", (L10,),
          "at first training loss falls more sharply than validation loss",
          curve_checks.training_loss_falls_more_until(5),
          original_rules.training_loss_falls_more_until(5)),
    Claim("section 12, figure 10", (L10,),
          "from epoch 5 validation gains are marginal, training accuracy rises on",
          curve_checks.gains_marginal_from(5), original_rules.plateau_from(5)),
    Claim("section 12, figure 10", (L10,),
          "validation accuracy and loss fluctuate slightly in the later epochs",
          curve_checks.fluctuates_from(5), curve_checks.fluctuates_from(5)),
    Claim("section 12, figure 10", (L10,),
          "training accuracy remains consistently high",
          curve_checks.training_stays_high_from(5)),
    Claim("section 12, figure 10", (L10,),
          "it overfits",
          curve_checks.overfits, original_rules.overfits),
    Claim("section 12, figure 10", (L10,),
          "precision and recall agree, so the classes are recognised equally well",
          checks.balanced, seed_0(checks.balanced)),
    Claim("section 12, figure 11", (L3, L10),
          "it underfits: high losses and lower accuracies, in training and validation",
          checks.underfits, seed_0(checks.underfits)),
    Claim("section 12, figure 11", (L3, L4),
          "its accuracy is lower than the baseline's too",
          checks.worse, original_rules.worse),
    Claim("section 12, figure 11", (L3, L10),
          "the dropout rate hampers its learning",
          curve_checks.dropout_hinders),
    Claim("section 12, figure 11", (L3, L4, L10),
          "the limited number of epochs contributes to its underfitting",
          curve_checks.stopped_early),
    Claim("section 12, figure 11", (L3,),
          "it still has a test accuracy of over 70 %",
          checks.over_70, original_rules.over_70),
    Claim("not in the report", (CONTROL, S10),
          "the step schedule, not the network, keeps it below 80 %",
          checks.schedule_limits, original_rules.schedule_limits),
)
# fmt: on


def judge(claim: Claim, results: ResultsByName) -> Finding:
    """The finding, or "not decidable" while an experiment that it needs has no results."""
    return apply(claim.check, claim, results)


def judge_originally(claim: Claim, results: ResultsByName) -> str | None:
    """The verdict by the original rule, or None where the claim was not judged at first."""
    return claim.original and apply(claim.original, claim, results).verdict


def apply(check: Callable[..., Finding], claim: Claim, results: ResultsByName) -> Finding:
    missing = [name for name in claim.needs if name not in results]
    if missing:
        return Finding("not decidable", f"not trained yet: {', '.join(missing)}")
    return check(*(results[name] for name in claim.needs), results=of_reproduction(results))


def compare_order(results: ResultsByName) -> list[tuple[str, str, Finding]]:
    """(better, worse, finding) for each two settings that the report has clearly in that order.

    Clearly: the reported accuracies differ by more than two single runs of ours would by chance.
    Ours agree, disagree, or tie ("not decidable") by the rule for two settings.
    """
    printed = [
        (each.row.report.accuracy, each)
        for each in of_reproduction(results).values()
        if each.row.report
    ]
    printed.sort(key=lambda pair: pair[0], reverse=True)
    pairs = []
    for (higher, one), (lower, other) in combinations(printed, 2):
        reported = report_difference(one, other, higher - lower, results)
        if reported.margin is not None and reported.value > reported.margin:
            ours = difference(one, other, results)
            figures = f"{points(reported.value)} in the report, in ours"
            pairs.append((one.name, other.name, checks.above_zero(ours, figures)))
    return pairs


def report_difference(
    one: Results, other: Results, apart: float, results: ResultsByName
) -> Estimate:
    """The report's difference of two settings, one run each, which vary as ours do."""
    first, second = variation(one, results), variation(other, results)
    if first is None or second is None:
        return Estimate(apart, None)
    deviation = (first.deviation**2 + second.deviation**2) ** 0.5
    return Estimate(apart, deviation, min(first.df, second.df))
