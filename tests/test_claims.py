"""What counts as a difference, and each judge on figures that hold and on figures that do not."""

import pytest
from training.reports.conclusions import CONCLUSIONS, L3, L4, L5, S3, S4, S5, S10, judge, order

from tests.fake_results import every, variant
from training.experiments import EXPERIMENTS
from training.reports import judges, measured


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (0.780, 0.75, "confirmed"),
        (0.720, 0.75, "not confirmed"),
        (0.753, 0.75, "not decidable"),
    ],
)
def test_a_difference_counts_beyond_two_of_its_standard_deviations(one, other, expected):
    small = variant(S4, other, seeds=(other + 0.002, other - 0.002))
    large = variant(L4, one)  # one seed, so it is taken to vary as the Small one does
    found = judges.better(large, small, every(small, large))
    assert found.verdict == expected
    # sd 0.2 points; of the difference of one and the mean of three: 0.2 * sqrt(1 + 1/3) = 0.231
    assert found.figures.endswith("two standard deviations of that are 0.46")


def test_stations_of_the_same_runs_are_compared_seed_by_seed():
    four = variant(S4, 0.75, seeds=(0.76, 0.74))
    five = variant(S5, 0.755, seeds=(0.766, 0.744))  # 0.5, 0.6 and 0.4 points more
    found = judges.better(five, four, every(four, five))
    assert found.verdict == "confirmed"
    # sd of the differences 0.1; of their mean 0.1 / sqrt(3) = 0.058
    assert found.figures.endswith("+0.50 points; two standard deviations of that are 0.12")
    large = every(four, five, variant(L4, 0.77), variant(L5, 0.7715))
    found = judges.better(large[L5], large[L4], large)
    assert found.verdict == "not decidable"  # 0.15 points of one pair, whose deviation is 0.1


def test_a_setting_varies_as_the_nearest_in_epochs_that_has_several_seeds():
    three, five = variant(S3, 0.7, seeds=(0.72, 0.68)), variant(S5, 0.76, seeds=(0.761, 0.759))
    ten = variant(S10, 0.77)
    variants = every(three, five, ten)
    assert measured.error_of_mean(ten, variants) == pytest.approx(0.001)
    assert measured.error_of_mean(three, variants) == pytest.approx(0.02 / 3**0.5)


def test_without_a_spread_no_difference_is_decided():
    variants = every(variant(L4, 0.9), variant(S4, 0.5))
    assert judges.better(*variants.values(), variants).verdict == "not decidable"
    assert order(variants) == []


def test_a_conclusion_about_an_untrained_variant_is_not_decidable():
    needed = next(row for row in CONCLUSIONS if row.needs == (L4, S4))
    found = judge(needed, every(variant(S4)))
    assert found == ("not decidable", f"not trained yet: {L4}")


def test_the_best_must_beat_every_other():
    one, spread = variant(S4, 0.78, seeds=(0.781, 0.779)), (0.001, -0.001)
    lower, higher = (
        variant(name, test, seeds=[test + each for each in spread])
        for name, test in ((S3, 0.7), (S10, 0.8))
    )
    known = every(one, lower, higher)
    assert judges.best(one, lower, variants=known).verdict == "confirmed"
    assert judges.best(one, lower, higher, variants=known).verdict == "not confirmed"


def test_only_pairs_that_the_report_has_far_apart_are_held_against_its_order():
    small = variant(S4, 0.76, seeds=(0.763, 0.757))  # sd 0.3 points; the report has 74.65 %
    ten, large = variant(S10, 0.75), variant(L4, 0.78)  # 76.76 and 76.18 % in the report
    found = order(every(small, ten, large))
    assert [(one, other, finding.verdict) for one, other, finding in found] == [
        (S10, S4, "not confirmed"),
        (L4, S4, "confirmed"),
    ]


@pytest.mark.parametrize(
    ("judge", "holding", "failing"),
    [
        (judges.overfits, {"train": 0.85}, {"train": 0.76}),
        (judges.mirrors_validation, {"test": 0.745}, {"test": 0.76}),
        (judges.improves, {}, {"valid_loss": [1.0] * 10}),
        (
            judges.plateau_from(6),
            {"valid_accuracy": [0.7] * 9 + [0.701]},
            {"valid_accuracy": [0.7] * 9 + [0.72]},
        ),
        (
            judges.loss_gap_widens_from(6),
            {"valid_loss": [1.0] * 10},
            {"valid_loss": [1 / epoch for epoch in range(1, 11)]},
        ),
        (
            judges.training_loss_falls_more_until(5),
            {"valid_loss": [1.0] * 10},
            {"valid_loss": [2 / epoch for epoch in range(1, 11)]},
        ),
        (judges.fluctuates_from(5), {"valid_loss": [1.0] * 9 + [1.1]}, {}),
    ],
)
def test_a_judge_tells_what_holds_from_what_does_not(judge, holding, failing):
    for columns, expected in ((holding, "confirmed"), (failing, "not confirmed")):
        one = variant(S10, **columns)
        assert judge(one, every(one)).verdict == expected


@pytest.mark.parametrize(
    ("test", "expected"),
    [(0.71, "confirmed"), (0.69, "not confirmed"), (0.699, "not decidable")],
)
def test_over_70_percent_counts_beyond_two_standard_deviations(test, expected):
    small, large = variant(S3, 0.68, seeds=(0.682, 0.678)), variant(L3, test)  # sd 0.2 points
    found = judges.over_70(large, every(small, large))
    assert found.verdict == expected
    assert found.figures.endswith("two standard deviations of that are 0.40")
    assert judges.over_70(large, every(large)).verdict == "not decidable"  # no spread is known


def test_recalls_far_apart_are_not_balanced():
    one = variant(S4)
    assert judges.balanced(one, every(one)).verdict == "confirmed"
    cats = one.metrics["test"]["per_class"]["cat"] | {"recall": 0.6}
    one.metrics["test"]["per_class"] |= {"cat": cats}
    found = judges.balanced(one, every(one))
    assert found.verdict == "not confirmed"
    assert "60.00 % (cat)" in found.figures


@pytest.mark.parametrize(("gap", "opens"), [(0.03, "confirmed"), (0.024, "not confirmed")])
def test_a_gap_opens_if_one_epoch_more_widens_it(gap, opens):
    four, five = variant(S4, train=0.76, valid=0.74), variant(S5, train=0.76 + gap, valid=0.76)
    assert judges.gap_opens(five, four, every(four, five)).verdict == opens
    assert judges.gap_stays(five, four, every(four, five)).verdict != opens


def test_a_network_underfits_that_is_far_worse_on_its_own_training_pictures():
    full = variant(S10, train=0.8)
    full.metrics["validation"]["loss"] = 0.5
    full.metrics["train"]["loss"] = 0.4
    for train, expected in ((0.7, "confirmed"), (0.76, "not confirmed")):
        assert judges.underfits(variant(S3, train=train), full, {}).verdict == expected


def test_the_control_must_pass_80_percent_to_blame_the_schedule():
    step = variant(S10, 0.76, seeds=(0.762, 0.758))
    for test, expected in ((0.85, "confirmed"), (0.79, "not confirmed")):
        cosine = variant("small-dropout0-epochs10-cosine", test)
        assert judges.schedule_limits(cosine, step, every(cosine, step)).verdict == expected


def test_every_conclusion_needs_experiments_that_exist():
    assert {name for row in CONCLUSIONS for name in row.needs} <= set(EXPERIMENTS)
