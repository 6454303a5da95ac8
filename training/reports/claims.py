"""List the claims of the student report and of our own, and judge them by our results.

`reproduction_template.md` explains our rules for the verdicts. On 26 November 2026, these rules
(commit 45ecce8) replaced our original rules (commit 827579a, 22 November). `Claim.original` is the
verdict of the original rules on our results of 26 November, or None if the original rules did not
cover the claim.
"""

import math
from collections.abc import Callable
from functools import partial
from itertools import combinations
from typing import NamedTuple

from training.reports import checks, curves
from training.reports.checks import Quantity, falls, rises, still
from training.reports.results import (
    ResultsByName,
    gap,
    test_precision,
    validation_accuracy,
    validation_loss,
)
from training.reports.text import points
from training.reports.variation import difference, variation

OURS = "not in the report"


class Claim(NamedTuple):
    where: str
    needs: tuple[str, ...]  # the experiments that `quantity` uses; the claim is about the first
    says: str  # the claim, in our words
    quantity: Callable[..., Quantity]
    decide: Callable[[Quantity], str]  # turns the quantity into a verdict
    original: str | None = None


S4, S5 = "small-dropout0.7-epochs4", "small-dropout0.7-epochs5"
S10, S3 = "small-dropout0-epochs10", "small-dropout0.9-epochs3"
L4, L5 = "large-dropout0.7-epochs4", "large-dropout0.7-epochs5"
L10, L3 = "large-dropout0-epochs10", "large-dropout0.9-epochs3"
COSINE = "small-dropout0-epochs10-cosine"
OVERFIT = "small-overfit", "large-overfit"

# fmt: off
CLAIMS = (
    Claim("section 3", (), "normalised inputs have mean 0 and standard deviation 1",
          checks.normalized_inputs, still),
    Claim("section 8, listing 13", (), "evaluation mode disables batch normalisation",
          checks.evaluated_batch_norm, still),
    Claim("section 9", (S4, S5, S10, S3), "dropout 0.7 and 4 epochs are the best Small setting",
          checks.lead, rises, "not confirmed"),
    Claim("section 9, figure 4", (S4,), "accuracies rise and losses fall in every epoch",
          curves.smallest_improvement, rises, "confirmed"),
    Claim("section 9, figure 4", (S4,),
          "precision and recall agree, so the classes are recognised equally well",
          checks.imbalance, still, "not confirmed"),
    Claim("section 9, figure 4", (S4,),
          "test accuracy mirrors validation accuracy, so the network generalises",
          checks.test_minus_validation, still, "confirmed"),
    Claim("section 9, figure 5", (S5, S4), "a fifth epoch helps the Small network slightly",
          checks.compare, rises, "confirmed"),
    Claim("section 9, figure 5", (S5, S4), "the fifth epoch raises precision",
          partial(checks.compare, measure=test_precision), rises),
    Claim("section 9, figure 5", (S5, S4),
          "in the fifth epoch, validation accuracy gains less than training accuracy",
          partial(checks.compare, measure=gap), rises),
    Claim("section 9, figure 5", (S5, S4), "the fifth epoch is the beginning of overfitting",
          partial(checks.compare, measure=validation_loss), rises, "not confirmed"),
    Claim("section 10", (S5, S10), "dropout helps the network generalise",
          checks.lost_to_dropout, falls),
    Claim("section 10", (S10,), "more epochs encourage overfitting",
          partial(curves.change, column="valid_loss", epoch=4), rises),
    Claim("section 10, figure 6", (S10,),
          "at first, training and validation accuracy improve steadily",
          partial(curves.smallest_improvement, last=5), rises),
    Claim("section 10, figure 6", (S10,), "from epoch 6 on, validation accuracy stands still",
          partial(curves.change, column="valid_accuracy", epoch=6), still, "confirmed"),
    Claim("section 10, figure 6", (S10,), "from epoch 6 on, training accuracy still rises slightly",
          partial(curves.change, column="train_accuracy", epoch=6), rises, "confirmed"),
    Claim("section 10, figure 6", (S10, COSINE),
          "the plateau from epoch 6 on is the onset of overfitting",
          partial(curves.change_with_cosine, epoch=6), falls),
    Claim("section 10, figure 6", (S10,),
          "the gap between training and validation loss begins to widen",
          partial(curves.loss_gap_change, epoch=6), rises, "confirmed"),
    Claim("section 10, figure 6", (S10,), "the network overfits",
          curves.rise_from_lowest, rises, "not confirmed"),
    Claim("section 10, figure 6", (S10, S4),
          "the high test accuracy comes at the cost of generalisation", checks.compare, falls),
    Claim("section 10, figure 7", (S3, S10),
          "the network underfits: training and validation losses are higher than without dropout",
          checks.underfitting, rises, "confirmed"),
    Claim("section 10, figure 7", (S3, S10), "the dropout rate hinders learning",
          checks.lost_to_dropout, rises),
    Claim("section 10, figure 7", (S3, S4, S10),
          "stopping after three epochs keeps the network from reaching its potential",
          checks.next_epoch, rises),
    Claim("section 11, figure 8", (L4,), "accuracies rise and losses fall in every epoch",
          curves.smallest_improvement, rises, "confirmed"),
    Claim("section 11, figure 8", (L4, S4),
          "the Large network is slightly better than the Small one",
          checks.compare, rises, "confirmed"),
    Claim("section 11, figure 8", (L4, S4),
          "the Large network's precision is higher than the Small one's",
          partial(checks.compare, measure=test_precision), rises),
    Claim("section 11, figure 8", (L4, S4), "the Large network generalises better",
          partial(checks.compare, measure=validation_accuracy), rises),
    Claim("section 12, figure 9", (L5, L4), "a fifth epoch helps the Large network",
          checks.compare, rises, "confirmed"),
    Claim("section 12, figure 9", (L5, L4), "the fifth epoch raises precision",
          partial(checks.compare, measure=test_precision), rises),
    Claim("section 12, figure 9", (L5, L4), "the fifth epoch shows no sign of overfitting",
          partial(checks.compare, measure=validation_loss), falls, "confirmed"),
    Claim("section 12, figure 9", (L5, L4, S5, S4),
          "the gap between training and validation accuracy widens less than in the Small network",
          checks.gap_contrast, rises),
    Claim("section 12, figure 10", (L10,),
          "at first, training and validation accuracy improve rapidly",
          partial(curves.smallest_improvement, last=5), rises),
    Claim("section 12, figure 10", (L10,),
          "at first, training loss falls more sharply than validation loss",
          partial(curves.loss_gap_change, epoch=2, last=5), rises, "confirmed"),
    Claim("section 12, figure 10", (L10,),
          "from epoch 5 on, validation gains are marginal, but training accuracy still rises",
          partial(curves.training_gain_past_marginal, epoch=5), rises, "not confirmed"),
    Claim("section 12, figure 10", (L10,),
          "validation accuracy and loss fluctuate slightly in the later epochs",
          partial(curves.setbacks, epoch=5), rises, "confirmed"),
    Claim("section 12, figure 10", (L10,), "training accuracy remains consistently high",
          partial(curves.largest_fall, epoch=5), still),
    Claim("section 12, figure 10", (L10,), "the network overfits",
          curves.rise_from_lowest, rises, "not confirmed"),
    Claim("section 12, figure 10", (L10,),
          "precision and recall agree, so the classes are recognised equally well",
          checks.imbalance, still, "not confirmed"),
    Claim("section 12, figure 11", (L3,), "the network improves over the three epochs",
          curves.smallest_improvement, rises),
    Claim("section 12, figure 11", (L3, L10),
          "the network underfits: high losses and lower accuracies in training and validation",
          checks.underfitting, rises, "confirmed"),
    Claim("section 12, figure 11", (L3, L4),
          "the accuracy is also lower than the baseline's (dropout 0.7, 4 epochs)",
          checks.compare, falls, "confirmed"),
    Claim("section 12, figure 11", (L3, L10), "the dropout rate hampers learning",
          checks.lost_to_dropout, rises),
    Claim("section 12, figure 11", (L3, L4, L10),
          "the limited number of epochs contributes to the underfitting", checks.next_epoch, rises),
    Claim("section 12, figure 11", (L3,), "the test accuracy is still over 70 %",
          partial(checks.above, limit=0.70), rises, "not confirmed"),
    Claim(OURS, (COSINE, S10), "the step schedule, not the network, keeps test accuracy below 80 %",
          checks.gain_beyond_80, rises, "confirmed"),
    *(Claim(OURS, (name,), "a network trained on 1,000 images without augmentation does overfit",
            curves.rise_from_lowest, rises) for name in OVERFIT),
)
# fmt: on


def judge(claim: Claim, results: ResultsByName) -> tuple[str, str]:
    """Return the verdict on a claim, and the numbers behind the verdict.

    The verdict is "not decidable" if results are missing or the variation between runs is unknown.
    """
    if missing := [name for name in claim.needs if name not in results]:
        return "not decidable", f"not trained yet: {', '.join(missing)}"
    quantity = claim.quantity(results, *(results[name] for name in claim.needs))
    verdict = "not decidable" if math.isinf(quantity.margin) else claim.decide(quantity)
    return verdict, quantity.numbers


def compare_order(results: ResultsByName) -> list[tuple[str, str, str, str]]:
    """Return (better, worse, verdict, numbers) for pairs of experiments that the report ranks.

    "Better" is the experiment with the higher accuracy in the report. The verdict says whether our
    accuracies have the same order. Each reported accuracy counts as the result of a single run. A
    pair is left out if the 95 % interval of the difference between these two accuracies includes 0.
    """
    printed = [(each.row.report["accuracy"], each) for each in results.values() if each.row.report]
    printed.sort(key=lambda pair: pair[0], reverse=True)
    pairs = []
    for (higher, one), (lower, other) in combinations(printed, 2):
        reported = variation(one, results).of(higher).minus(variation(other, results).of(lower))
        if reported.value > reported.margin:
            ours = difference(one, other, results)
            numbers = f"{points(reported.value)} in the report, {checks.show(ours)} in our results"
            verdict = rises(Quantity(ours.value, ours.margin, numbers))
            pairs.append((one.name, other.name, verdict, numbers))
    return pairs
