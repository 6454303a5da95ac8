"""These tests check the verdicts on claims that results confirm, contradict or leave undecided."""

import pytest

from tests.fake_results import NO, OPEN, YES, by_name, decide, results
from training.reports import checks
from training.reports.claims import CLAIMS, COSINE, L3, L4, L5, S3, S4, S5, S10, judge


@pytest.mark.parametrize(("one", "expected"), [(0.780, YES), (0.720, NO), (0.755, OPEN)])
def test_a_difference_counts_outside_its_interval(one, expected):
    small, large = results(S4, 0.75, seeds=(0.752, 0.748)), results(L4, one)
    verdict, numbers = decide(L4, "slightly better than the Small", small, large)
    assert verdict == expected
    # One run is compared with the mean of three. The margin of their difference is
    # 4.303 (t value) * 0.2 (standard deviation) * sqrt(4 / 3).
    assert numbers.endswith("± 0.99 (+1.53 in the report)")
    opposite = {YES: NO, NO: YES}.get(expected, expected)
    assert checks.falls(checks.compare(by_name(small, large), large, small)) == opposite


def test_without_seeds_no_difference_is_decided():
    verdict, numbers = decide(L3, "lower than the baseline", results(L3, 0.5), results(L4, 0.9))
    assert verdict == OPEN
    assert "-40.00 (variation unknown)" in numbers


def test_the_best_must_be_better_than_every_other():
    one = results(S4, 0.78, seeds=(0.781, 0.779))
    for five, ten, expected in ((0.7, 0.7, YES), (0.7, 0.779, OPEN), (0.7, 0.8, NO)):
        others = [
            results(name, test, seeds=(test + 0.001, test - 0.002))
            for name, test in ((S5, five), (S10, ten), (S3, 0.6))
        ]
        verdict, numbers = decide(S4, "the best Small setting", one, *others)
        assert verdict == expected
        assert numbers.count("; ") == 2
        assert "(-2.11 in the report)" in numbers


def test_recalls_far_apart_are_not_balanced():
    one = results(S4, 0.75, seeds=(0.75, 0.75))
    assert decide(S4, "equally well", one)[0] == YES
    for run, recall in zip(one.runs, (0.60, 0.62, 0.61), strict=True):
        run["test"]["per_class"]["cat"]["recall"] = recall
    verdict, numbers = decide(S4, "equally well", one)
    assert verdict == NO
    assert "61.00 % (cat)" in numbers  # the mean over the seeds


@pytest.mark.parametrize(("test", "expected"), [(0.745, YES), (0.76, NO), (0.72, NO)])
def test_test_accuracy_mirrors_validation_accuracy_within_two_standard_errors(test, expected):
    assert decide(S4, "mirrors validation", results(S4, test))[0] == expected


def five_epochs(train=0.76, valid=0.74, loss=0.7, names=(S5, S4)):
    """Make results of five and four epochs. The arguments are values after five epochs."""
    four = results(names[1], 0.7, train=0.76, valid=0.74, seeds=(0.741, 0.739))
    five = results(names[0], 0.7, train=train, valid=valid, seeds=(valid + 0.003, valid - 0.001))
    for run, change in zip(five.runs, (0, 0.001, -0.001), strict=True):
        run["validation"]["loss"] = loss + change  # 0.7 after four epochs
    return five, four


@pytest.mark.parametrize(
    ("train", "valid", "expected"), [(0.78, 0.75, YES), (0.76, 0.75, NO), (0.76, 0.7401, OPEN)]
)
def test_a_gap_counts_beyond_the_variation(train, valid, expected):
    assert decide(S5, "gains less than training", *five_epochs(train, valid))[0] == expected


@pytest.mark.parametrize(("loss", "expected"), [(0.71, YES), (0.69, NO), (0.702, OPEN)])
def test_a_fifth_epoch_overfits_if_it_raises_the_validation_loss(loss, expected):
    verdict, numbers = decide(S5, "beginning of overfitting", *five_epochs(loss=loss))
    assert verdict == expected
    # The margin is 4.303 (t value) * 0.001 (standard deviation) / sqrt(3).
    assert (
        numbers
        == f"validation loss {loss:.3f} against 0.700, a difference of {loss - 0.7:+.3f} ± 0.002"
    )
    large = five_epochs(loss=loss, names=(L5, L4))
    opposite = {YES: NO, NO: YES}.get(expected, expected)
    assert decide(L5, "no sign of overfitting", *large)[0] == opposite


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
    verdict, numbers = decide(name, says, one, two)
    assert verdict == YES
    assert numbers.startswith("precision 78.10 % against 75.10 %, a difference of +3.00 ±")


@pytest.mark.parametrize(("valid", "expected"), [(0.78, YES), (0.72, NO), (0.755, OPEN)])
def test_the_larger_network_generalises_better_if_its_validation_accuracy_is_higher(
    valid, expected
):
    small, large = results(S4, valid=0.75, seeds=(0.752, 0.748)), results(L4, valid=valid)
    verdict, numbers = decide(L4, "generalises better", small, large)
    assert verdict == expected
    assert numbers.startswith(f"validation accuracy {100 * valid:.2f} % against 75.00 %")


def test_a_contrast_of_two_gaps_has_its_own_variation():
    small = five_epochs(0.80, 0.75)  # the gap widens by 3 points
    for train, expected in ((0.77, YES), (0.8, OPEN), (0.86, NO)):
        large = results(L4, train=0.77, valid=0.74), results(L5, train=train, valid=0.74)
        assert decide(L5, "widens less than in the Small", *small, *large)[0] == expected


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("key", ["accuracy", "loss"])
@pytest.mark.parametrize(("worse", "expected"), [(0.10, YES), (-0.10, NO), (0.03, OPEN)])
def test_underfitting_has_four_signs_beyond_the_variation(split, key, worse, expected):
    full, one = results(S10), results(S3, seeds=(0.7, 0.7))
    for each, mean in ((full, 0.6), (one, 0.5)):
        for run, change in zip(each.runs, (0, 0.01, -0.01), strict=False):
            for part in ("train", "validation"):  # `one` is worse by 0.1
                run[part] |= {"accuracy": mean + change, "loss": 1 - mean + change}
            if each is one:
                run[split][key] = (0.6 - worse if key == "accuracy" else 0.4 + worse) + change
    verdict, numbers = decide(S3, "the network underfits", one, full)
    assert verdict == expected
    # The margin is 4.303 (t value) * 0.01 (standard deviation) * sqrt(4 / 3).
    assert ("± 4.97" in numbers, "± 0.050" in numbers) == (True, True)


@pytest.mark.parametrize(("test", "expected"), [(0.71, YES), (0.69, NO), (0.705, OPEN)])
def test_over_70_percent_counts_beyond_the_variation(test, expected):
    small, large = results(S3, 0.68, seeds=(0.682, 0.678)), results(L3, test)
    verdict, numbers = decide(L3, "over 70 %", small, large)
    assert verdict == expected
    assert numbers.endswith("± 0.86")  # the margin is 4.303 (t value) * 0.2 (standard deviation)
    assert decide(L3, "over 70 %", large)[0] == OPEN


@pytest.mark.parametrize(("test", "expected"), [(0.85, YES), (0.79, NO), (0.805, OPEN)])
def test_the_control_must_pass_80_percent_to_blame_the_schedule(test, expected):
    step = results(S10, 0.76, seeds=(0.762, 0.758))
    assert decide(COSINE, "step schedule", results(COSINE, test), step)[0] == expected


@pytest.mark.parametrize(("accuracy", "expected"), [(0.8, YES), (0.6, NO), (0.701, OPEN)])
def test_dropout_and_short_training_count_beyond_the_variation(accuracy, expected):
    one = results(S3, 0.7, valid=0.70, seeds=(0.702, 0.698))
    full = results(S10, valid_accuracy=[0.5, 0.6, accuracy, *[0.9] * 7])
    assert decide(S3, "the dropout rate", one, full)[0] == expected
    longer = [
        results(name, valid_accuracy=[0.5, 0.6, 0.7, accuracy, *[0.9] * 6]) for name in (S4, S10)
    ]
    assert decide(S3, "stopping after three", one, *longer)[0] == expected


@pytest.mark.parametrize(("accuracy", "expected"), [(0.6, YES), (0.8, NO), (0.701, OPEN)])
def test_dropout_helps_if_the_accuracy_after_five_epochs_is_higher(accuracy, expected):
    one = results(S5, 0.7, valid=0.70, seeds=(0.702, 0.698))
    full = results(S10, valid_accuracy=[0.5] * 4 + [accuracy] + [0.9] * 5)
    assert decide(S5, "dropout helps", one, full)[0] == expected


def test_statements_about_the_method_are_computed():
    verdicts = {claim.where: judge(claim, {}) for claim in CLAIMS if not claim.needs}
    assert {verdict for verdict, _ in verdicts.values()} == {NO}
    assert "means from 0.03 to 0.18" in verdicts["section 3"][1]
    assert "maps 3 to 1" in verdicts["section 8, listing 13"][1]
