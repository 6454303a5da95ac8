"""These tests check the verdicts on claims that results confirm, contradict or leave undecided."""

import pytest

from tests.fake_results import by_name, results
from training.reports import checks
from training.reports.claims import CLAIMS, COSINE, L3, L4, L5, L10, OVERFIT, S3, S4, S5, S10, judge

# Many curves in these tests end with these four values, in epochs with learning rates up to
# `variation.STILL_LR`. From their spread, `variation.noise` computes a margin of 0.0037 for the
# difference between two epochs.
STILL = [0.700, 0.701, 0.699, 0.700]
YES, NO, OPEN = "confirmed", "not confirmed", "not decidable"


def decide(name, says, *several):
    """Find the only claim about `name` with `says` in its text. Judge it by the given results."""
    (claim,) = [each for each in CLAIMS if each.needs[:1] == (name,) and says in each.says]
    return judge(claim, by_name(*several))


@pytest.mark.parametrize(("one", "expected"), [(0.780, YES), (0.720, NO), (0.755, OPEN)])
def test_a_difference_counts_outside_its_interval(one, expected):
    small, large = results(S4, 0.75, seeds=(0.752, 0.748)), results(L4, one)
    verdict, figures = decide(L4, "slightly better than the Small", small, large)
    assert verdict == expected
    # One run is compared with the mean of three. The margin of their difference is
    # 4.303 (t value) * 0.2 (standard deviation) * sqrt(4 / 3).
    assert figures.endswith("± 0.99 (+1.53 in the report)")
    opposite = {YES: NO, NO: YES}.get(expected, expected)
    assert checks.falls(checks.compare(by_name(small, large), large, small)) == opposite


def test_without_seeds_no_difference_is_decided():
    verdict, figures = decide(L3, "lower than the baseline", results(L3, 0.5), results(L4, 0.9))
    assert verdict == OPEN
    assert "-40.00 (variation unknown)" in figures


def test_the_best_must_be_better_than_every_other():
    one = results(S4, 0.78, seeds=(0.781, 0.779))
    for five, ten, expected in ((0.7, 0.7, YES), (0.7, 0.779, OPEN), (0.7, 0.8, NO)):
        others = [
            results(name, test, seeds=(test + 0.001, test - 0.002))
            for name, test in ((S5, five), (S10, ten), (S3, 0.6))
        ]
        verdict, figures = decide(S4, "the best Small setting", one, *others)
        assert verdict == expected
        assert figures.count("; ") == 2
        assert "(-2.11 in the report)" in figures


def test_recalls_far_apart_are_not_balanced():
    one = results(S4, 0.75, seeds=(0.75, 0.75))
    assert decide(S4, "equally well", one)[0] == YES
    for run, recall in zip(one.runs, (0.60, 0.62, 0.61), strict=True):
        run["test"]["per_class"]["cat"]["recall"] = recall
    verdict, figures = decide(S4, "equally well", one)
    assert verdict == NO
    assert "61.00 % (cat)" in figures  # the mean over the seeds


@pytest.mark.parametrize(("test", "expected"), [(0.745, YES), (0.76, NO), (0.72, NO)])
def test_test_accuracy_mirrors_validation_accuracy_within_two_standard_errors(test, expected):
    assert decide(S4, "mirrors validation", results(S4, test))[0] == expected


def five_epochs(train, valid):
    """Make results of S5 and S4 with three seeds each. `train` and `valid` are accuracies of S5."""
    four = results(S4, 0.7, train=0.76, valid=0.74, seeds=(0.741, 0.739))
    five = results(S5, 0.7, train=train, valid=valid, seeds=(valid + 0.003, valid - 0.001))
    return five, four


@pytest.mark.parametrize(
    ("says", "train", "valid", "expected"),
    [
        ("gains less than training", 0.78, 0.75, YES),
        ("gains less than training", 0.76, 0.75, NO),
        ("gains less than training", 0.76, 0.7401, OPEN),
        ("beginning of overfitting", 0.78, 0.73, YES),
        ("beginning of overfitting", 0.78, 0.75, NO),
        ("beginning of overfitting", 0.78, 0.7401, OPEN),
    ],
)
def test_a_fifth_epoch_counts_beyond_the_variation(says, train, valid, expected):
    assert decide(S5, says, *five_epochs(train, valid))[0] == expected


@pytest.mark.parametrize(
    ("name", "other", "says"),
    [
        (S5, S4, "raises precision"),
        (L5, L4, "raises precision"),
        (L4, S4, "precision is higher"),
    ],
)
def test_precision_is_compared_like_accuracy(name, other, says):
    one, two = results(name, 0.78, seeds=(0.781, 0.779)), results(other, 0.75, seeds=(0.752, 0.748))
    verdict, figures = decide(name, says, one, two)
    assert verdict == YES
    assert figures.startswith("precision 78.10 % against 75.10 %, a difference of +3.00 ±")


def test_a_contrast_of_two_gaps_has_its_own_variation():
    small = five_epochs(0.80, 0.75)  # the gap widens by 3 points
    for train, expected in ((0.77, YES), (0.8, OPEN), (0.86, NO)):
        large = results(L4, train=0.77, valid=0.74), results(L5, train=train, valid=0.74)
        assert decide(L5, "widens less than in the Small", *small, *large)[0] == expected


@pytest.mark.parametrize(
    ("train", "loss", "expected"), [(0.74, 0.9, YES), (0.76, 0.9, NO), (0.74, 0.5, NO)]
)
def test_underfitting_is_5_points_of_training_accuracy_and_higher_losses(train, loss, expected):
    full, one = results(S10, train=0.80), results(S3, train=train)
    for split in ("train", "validation"):
        one.metrics[split]["loss"] = loss
    verdict, figures = decide(S3, "the network underfits", one, full)
    assert verdict == expected
    assert f"training accuracy {100 * train:.2f} % against 80.00 %, loss {loss:.3f}" in figures


@pytest.mark.parametrize(("test", "expected"), [(0.71, YES), (0.69, NO), (0.705, OPEN)])
def test_over_70_percent_counts_beyond_the_variation(test, expected):
    small, large = results(S3, 0.68, seeds=(0.682, 0.678)), results(L3, test)
    verdict, figures = decide(L3, "over 70 %", small, large)
    assert verdict == expected
    assert figures.endswith("± 0.86")  # the margin is 4.303 (t value) * 0.2 (standard deviation)
    assert decide(L3, "over 70 %", large)[0] == OPEN


@pytest.mark.parametrize(("test", "expected"), [(0.85, YES), (0.79, NO)])
def test_the_control_must_pass_80_percent_to_blame_the_schedule(test, expected):
    step = results(S10, 0.76, seeds=(0.762, 0.758))
    assert decide(COSINE, "step schedule", results(COSINE, test), step)[0] == expected


@pytest.mark.parametrize(("last", "expected"), [(0.70, OPEN), (0.75, NO), (0.65, YES)])
def test_a_plateau_is_not_overfitting_if_another_schedule_still_gains(last, expected):
    step = results(S10, valid_accuracy=[0.6] * 6 + STILL)
    cosine = results(COSINE, valid_accuracy=[0.7] * 9 + [last], lr=[1e-3] * 10)
    assert decide(S10, "plateau", step, cosine)[0] == expected


@pytest.mark.parametrize(("accuracy", "expected"), [(0.8, YES), (0.6, NO), (0.701, OPEN)])
def test_dropout_and_short_training_count_beyond_the_variation(accuracy, expected):
    one = results(S3, 0.7, valid=0.70, seeds=(0.702, 0.698))
    full = results(S10, valid_accuracy=[0.5, 0.6, accuracy, *[0.9] * 7])
    assert decide(S3, "the dropout rate", one, full)[0] == expected
    longer = [
        results(name, valid_accuracy=[0.5, 0.6, 0.7, accuracy, *[0.9] * 6]) for name in (S4, S10)
    ]
    assert decide(S3, "stopping after three", one, *longer)[0] == expected


def test_statements_about_the_method_are_computed():
    found = {claim.where: judge(claim, {}) for claim in CLAIMS if not claim.needs}
    assert {verdict for verdict, _ in found.values()} == {NO}
    assert "means from 0.03 to 0.18" in found["section 3"][1]
    assert "maps 3 to 1" in found["section 8, listing 13"][1]


@pytest.mark.parametrize(
    ("name", "says", "expected", "columns"),
    [
        (L4, "rise and losses fall", YES, {}),
        (L4, "rise and losses fall", NO, {"valid_loss": [1.0] * 4}),
        (S10, "improve steadily", YES, {"valid_loss": [1, 0.9, 0.8, 0.7, 0.6, *[0.9] * 5]}),
        (S10, "improve steadily", NO, {"train_accuracy": [0.5, 0.6, 0.6, 0.7, *[0.8] * 6]}),
        (L10, "improve rapidly", YES, {}),
        (L10, "improve rapidly", NO, {"valid_accuracy": [0.5, 0.6, 0.6, *[0.7] * 7]}),
        (L3, "over the three epochs", YES, {}),
        (L3, "over the three epochs", NO, {"valid_loss": [1.0] * 3}),
        (S10, "stands still", YES, {"valid_accuracy": [0.6] * 5 + [0.698, *STILL]}),
        (S10, "stands still", NO, {"valid_accuracy": [0.6] * 5 + [0.690, *STILL]}),
        (S10, "still rises", YES, {"train_accuracy": [0.6] * 5 + [0.690, *STILL]}),
        (S10, "still rises", NO, {"train_accuracy": [0.6] * 5 + [0.710, *STILL]}),
        (S10, "still rises", OPEN, {"train_accuracy": [0.6] * 5 + [0.699, *STILL]}),
        (
            L10,
            "marginal",
            YES,
            {
                "valid_accuracy": [0.4, 0.5, 0.6, 0.65, 0.69, 0.70, *STILL],
                "train_accuracy": [0.4, 0.5, 0.6, 0.65, 0.69, 0.70, *STILL],
            },
        ),
        (L10, "marginal", NO, {"valid_accuracy": [0.4 + epoch / 100 for epoch in range(10)]}),
        (S10, "begins to widen", YES, {"valid_loss": [1] * 10, "train_loss": [0.9] * 6 + STILL}),
        (S10, "begins to widen", NO, {"valid_loss": [1] * 10, "train_loss": [0.6] * 6 + STILL}),
        (
            S10,
            "begins to widen",
            OPEN,
            {"valid_loss": [1] * 10, "train_loss": [0.9] * 5 + [0.702, *STILL]},
        ),
        (
            S10,
            "begins to widen",
            OPEN,  # validation loss falls during epoch 6, so the loss gap in mid-epoch is uncertain
            {"valid_loss": [1.0] * 5 + [0.9] * 5, "train_loss": [0.74] * 6 + STILL},
        ),
        (
            L10,
            "falls more sharply",
            YES,
            {"valid_loss": [1] * 10, "train_loss": [0.9, 0.9, 0.9, 0.8, 0.7, 0.7, *STILL]},
        ),
        (L10, "falls more sharply", NO, {"train_loss": [1.0] * 10}),
        (L10, "falls more sharply", OPEN, {"train_loss": [1.0, 0.6, 0.4, 0.3, 0.2, *[0.1] * 5]}),
        (L10, "fluctuate", YES, {"valid_loss": [1.0] * 9 + [1.1]}),
        (L10, "fluctuate", NO, {}),
        (L10, "consistently high", YES, {"train_accuracy": [0.5] * 5 + [0.702, *STILL]}),
        (L10, "consistently high", NO, {"train_accuracy": [0.5] * 5 + [0.710, *STILL]}),
        # 0.0029 is the margin for the difference between the mean of four losses and a single loss.
        (S10, "overfits", YES, {"valid_loss": [1, 0.8, 0.6965, 0.7, 0.7, 0.7, *STILL]}),
        (S10, "overfits", NO, {"valid_loss": [1, 0.8, 0.704, 0.704, 0.704, 0.704, *STILL]}),
        (S10, "overfits", OPEN, {"valid_loss": [1, 0.8, 0.7, 0.7, 0.7, 0.7, *STILL[:3], 0.701]}),
    ],
)
def test_a_claim_about_a_curve(name, says, expected, columns):
    assert decide(name, says, results(name, **columns))[0] == expected


def test_the_control_that_overfits_is_judged_by_the_noise_of_the_long_run():
    full = results(S10, valid_loss=[0.9] * 6 + STILL)
    rising = [2.0, 1.9, *[1.9 + epoch / 100 for epoch in range(58)]]
    one = results(OVERFIT[0], 0.35, valid_loss=rising, lr=[1e-3] * 60)
    assert decide(OVERFIT[0], "does overfit", one, full)[0] == YES
    falling = results(
        OVERFIT[0], 0.35, lr=[1e-3] * 60, valid_loss=[2 - epoch / 100 for epoch in range(60)]
    )
    assert decide(OVERFIT[0], "does overfit", falling, full)[0] == NO
    assert decide(OVERFIT[0], "does overfit", one)[0] == OPEN  # noise is unknown without `full`
