"""The report's conclusions, each held against what was measured.

A conclusion is a row: where the report draws it, of which experiments, what it says in our words,
and the judge that reads the figures. `reproduction_template.md` says in words how they judge.
"""

from collections.abc import Callable
from itertools import combinations
from typing import NamedTuple

from training.reports import judges
from training.reports.judges import Finding, verdict
from training.reports.measured import Variants, difference, points


class Conclusion(NamedTuple):
    where: str
    needs: tuple[str, ...]  # of the first it says something, beside the others
    says: str
    judge: Callable[..., Finding]  # (*the needed, variants=all of them)


S4, S5 = "small-dropout0.7-epochs4", "small-dropout0.7-epochs5"
S10, S3 = "small-dropout0-epochs10", "small-dropout0.9-epochs3"
L4, L5 = "large-dropout0.7-epochs4", "large-dropout0.7-epochs5"
L10, L3 = "large-dropout0-epochs10", "large-dropout0.9-epochs3"
COSINE = "small-dropout0-epochs10-cosine"

# fmt: off
CONCLUSIONS = (
    Conclusion("section 9", (S4, S5, S10, S3),
               "dropout 0.7 and 4 epochs are the best small setting", judges.best),
    Conclusion("section 9, figure 4", (S4,),
               "accuracies rise and losses fall in every epoch", judges.improves),
    Conclusion("section 9, figure 4", (S4,),
               "precision and recall agree, so the classes are recognised alike", judges.balanced),
    Conclusion("section 9, figure 4", (S4,),
               "test accuracy mirrors validation accuracy: it generalises",
               judges.mirrors_validation),
    Conclusion("section 9, figure 5", (S5, S4),
               "a fifth epoch helps the small network slightly", judges.better),
    Conclusion("section 9, figure 5", (S5, S4),
               "the fifth epoch is the beginning of overfitting", judges.gap_opens),
    Conclusion("section 10, figure 6", (S10,),
               "from epoch 6 validation accuracy stands still, training accuracy rises slightly",
               judges.plateau_from(6)),
    Conclusion("section 10, figure 6", (S10,),
               "the gap between training and validation loss begins to widen",
               judges.loss_gap_widens_from(6)),
    Conclusion("section 10, figure 6", (S10,),
               "it overfits", judges.overfits),
    Conclusion("section 10, figure 7", (S3, S10),
               "it underfits: higher losses than without dropout, in training and validation",
               judges.underfits),
    Conclusion("section 11, figure 8", (L4,),
               "accuracies rise and losses fall in every epoch", judges.improves),
    Conclusion("section 11, figure 8", (L4, S4),
               "the large network is slightly better than the small one", judges.better),
    Conclusion("section 12, figure 9", (L5, L4),
               "a fifth epoch helps the large network", judges.better),
    Conclusion("section 12, figure 9", (L5, L4),
               "unlike the small one, it shows no sign of overfitting", judges.gap_stays),
    Conclusion("section 12, figure 10", (L10,),
               "at first training loss falls more sharply than validation loss",
               judges.training_loss_falls_more_until(5)),
    Conclusion("section 12, figure 10", (L10,),
               "from epoch 5 validation gains are marginal, training accuracy rises on",
               judges.plateau_from(5)),
    Conclusion("section 12, figure 10", (L10,),
               "validation accuracy and loss fluctuate slightly in the later epochs",
               judges.fluctuates_from(5)),
    Conclusion("section 12, figure 10", (L10,),
               "it overfits", judges.overfits),
    Conclusion("section 12, figure 10", (L10,),
               "precision and recall agree, so the classes are recognised alike", judges.balanced),
    Conclusion("section 12, figure 11", (L3, L10),
               "it underfits: high losses and lower accuracies, in training and validation",
               judges.underfits),
    Conclusion("section 12, figure 11", (L3, L4),
               "its accuracy is lower than the baseline's too", judges.worse),
    Conclusion("section 12, figure 11", (L3,),
               "it still has over 70 % of the test pictures right", judges.over_70),
    Conclusion("not in the report", (COSINE, S10),
               "the step schedule, not the network, keeps it below 80 %", judges.schedule_limits),
)
# fmt: on


def judge(conclusion: Conclusion, variants: Variants) -> Finding:
    """The finding, or "not decidable" while a variant that it needs has not been trained."""
    missing = [name for name in conclusion.needs if name not in variants]
    if missing:
        return Finding("not decidable", f"not trained yet: {', '.join(missing)}")
    return conclusion.judge(*(variants[name] for name in conclusion.needs), variants=variants)


def order(variants: Variants) -> list[tuple[str, str, Finding]]:
    """(better, worse, ours) for each two settings whose printed accuracies are far enough apart.

    That is by more than two standard deviations of our difference; ours agree where they are in
    the same order.
    """
    printed = [(each.row.report.accuracy, each) for each in variants.values() if each.row.report]
    printed.sort(key=lambda pair: pair[0], reverse=True)
    found = []
    for (higher, one), (lower, other) in combinations(printed, 2):
        gain, deviation = difference(one, other, variants)
        apart = higher - lower
        if deviation is not None and apart > 2 * deviation:
            figures = f"{points(apart)} points in the report, {points(gain)} in ours"
            found.append((one.row.name, other.row.name, verdict(gain > 0, figures)))
    return found
