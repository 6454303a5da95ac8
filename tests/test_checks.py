"""Each check on results where the claim holds and on results where it does not."""

import pytest

from tests.fake_results import by_name, results
from training.reports import checks, curve_checks
from training.reports.claims import L3, L4, L5, S3, S4, S5, S10
from training.reports.results import CONTROL

STILL = [0.700, 0.701, 0.699, 0.700]  # noise of four epochs: sd 0.0008, interval of a change 0.0037


@pytest.mark.parametrize(
    ("one", "expected"),
    [(0.780, "confirmed"), (0.720, "not confirmed"), (0.755, "not decidable")],
)
def test_a_difference_counts_outside_its_interval(one, expected):
    small, large = results(S4, 0.75, seeds=(0.752, 0.748)), results(L4, one)
    finding = checks.better(large, small, by_name(small, large))
    assert finding.verdict == expected
    assert finding.figures.endswith("± 0.99")  # 4.303 * 0.2 * sqrt(4 / 3)
    assert checks.worse(small, large, by_name(small, large)) == finding


def test_without_seeds_no_difference_is_decided():
    large, small = results(L4, 0.9), results(S4, 0.5)
    finding = checks.better(large, small, by_name(large, small))
    assert finding.verdict == "not decidable"
    assert finding.figures.endswith("+40.00 (variation unknown)")


def test_the_best_must_be_better_than_every_other():
    one, spread = results(S4, 0.78, seeds=(0.781, 0.779)), (0.001, -0.001)
    lower, higher, near = (
        results(name, test, seeds=[test + each for each in spread])
        for name, test in ((S3, 0.7), (S10, 0.8), (L4, 0.779))
    )
    known = by_name(one, lower, higher, near)
    assert checks.best(one, lower, results=known).verdict == "confirmed"
    assert checks.best(one, lower, near, results=known).verdict == "not decidable"
    assert checks.best(one, near, higher, results=known).verdict == "not confirmed"
    assert "(-2.11 in the report)" in checks.best(one, higher, results=known).figures


def test_recalls_far_apart_are_not_balanced():
    one = results(S4, 0.75, seeds=(0.75, 0.75))
    assert checks.balanced(one, by_name(one)).verdict == "confirmed"
    for run, recall in zip(one.runs, (0.60, 0.62, 0.61), strict=True):
        run["test"]["per_class"]["cat"]["recall"] = recall
    finding = checks.balanced(one, by_name(one))
    assert finding.verdict == "not confirmed"
    assert "61.00 % (cat)" in finding.figures  # the mean over the seeds


def test_test_accuracy_mirrors_validation_accuracy_within_two_standard_errors():
    for test, expected in ((0.745, "confirmed"), (0.76, "not confirmed")):
        one = results(S4, test)
        assert checks.mirrors_validation(one, by_name(one)).verdict == expected


def five_epochs(train, valid):
    """Five and four epochs, three seeds each; seeds 1 and 2 differ little from seed 0."""
    four = results(S4, 0.7, train=0.76, valid=0.74, seeds=(0.741, 0.739))
    five = results(S5, 0.7, train=train, valid=valid, seeds=(valid + 0.003, valid - 0.001))
    return five, four


def test_a_gap_widens_beyond_the_variation():
    for train, valid, expected in (
        (0.78, 0.75, "confirmed"),
        (0.76, 0.75, "not confirmed"),
        (0.76, 0.7401, "not decidable"),
    ):
        five, four = five_epochs(train, valid)
        assert checks.gap_widens(five, four, by_name(five, four)).verdict == expected


def test_an_epoch_overfits_if_it_lowers_validation_accuracy():
    for valid, overfits, improves in (
        (0.73, "confirmed", "not confirmed"),
        (0.75, "not confirmed", "confirmed"),
        (0.7401, "not decidable", "not decidable"),
    ):
        five, four = five_epochs(0.78, valid)
        known = by_name(five, four)
        assert checks.begins_to_overfit(five, four, known).verdict == overfits
        assert checks.keeps_improving(five, four, known).verdict == improves


def test_a_contrast_of_two_gaps_has_its_own_variation():
    five, four = five_epochs(0.80, 0.75)  # the gap widens by 3 points
    for train, expected in ((0.77, "confirmed"), (0.8, "not decidable")):
        large = results(L4, train=0.77, valid=0.74), results(L5, train=train, valid=0.74)
        every = by_name(five, four, *large)
        finding = checks.gap_widens_less(large[1], large[0], five, four, every)
        assert finding.verdict == expected
    alone = by_name(*large)
    unknown = checks.gap_widens_less(large[1], large[0], large[1], large[0], alone)
    assert unknown.verdict == "not decidable"


def test_a_network_underfits_that_is_far_worse_on_its_own_training_images():
    full = results(S10, train=0.8)
    full.metrics["validation"]["loss"] = 0.5
    full.metrics["train"]["loss"] = 0.4
    for train, expected in ((0.7, "confirmed"), (0.76, "not confirmed")):
        assert checks.underfits(results(S3, train=train), full, {}).verdict == expected
    full.metrics["validation"]["loss"] = 0.9
    assert checks.underfits(results(S3, train=0.7), full, {}).verdict == "not confirmed"


@pytest.mark.parametrize(
    ("test", "expected"),
    [(0.72, "confirmed"), (0.68, "not confirmed"), (0.695, "not decidable")],
)
def test_over_70_percent_counts_beyond_the_variation(test, expected):
    small, large = results(S3, 0.68, seeds=(0.682, 0.678)), results(L3, test)
    finding = checks.over_70(large, by_name(small, large))
    assert finding.verdict == expected
    assert finding.figures.endswith("± 0.86")  # 4.303 * 0.2
    assert checks.over_70(large, by_name(large)).verdict == "not decidable"


def test_the_control_must_pass_80_percent_to_blame_the_schedule():
    step = results(S10, 0.76, seeds=(0.762, 0.758))
    for test, expected in ((0.85, "confirmed"), (0.79, "not confirmed")):
        cosine = results(CONTROL, test)
        assert checks.schedule_limits(cosine, step, by_name(cosine, step)).verdict == expected


def test_generalising_worse_means_a_lower_test_accuracy():
    regularised = results(S4, 0.75, seeds=(0.751, 0.749))
    for test, expected in ((0.70, "confirmed"), (0.80, "not confirmed"), (0.75, "not decidable")):
        one = results(S10, test)
        finding = checks.generalises_worse(one, regularised, by_name(one, regularised))
        assert finding.verdict == expected


def test_statements_about_the_method_are_computed():
    finding = checks.normalises_to_unit({})
    assert finding.verdict == "not confirmed"
    assert "means from 0.03 to 0.18" in finding.figures
    finding = checks.evaluation_disables_batch_norm({})
    assert finding.verdict == "not confirmed"
    assert "maps 3 to 1" in finding.figures


@pytest.mark.parametrize(
    ("check", "holding", "failing"),
    [
        (curve_checks.improves, {}, {"valid_loss": [1.0] * 10}),
        (
            curve_checks.improves_until(5),
            {"valid_loss": [1.0, 0.9, 0.8, 0.7, 0.6, 0.9, 0.9, 0.9, 0.9, 0.9]},
            {"train_accuracy": [0.5, 0.6, 0.6, 0.7, 0.8, 0.9, 0.9, 0.9, 0.9, 0.9]},
        ),
        (
            curve_checks.stands_still_from(6),
            {"valid_accuracy": [0.6] * 5 + [0.698, *STILL]},
            {"valid_accuracy": [0.6] * 5 + [0.690, *STILL]},
        ),
        (
            curve_checks.training_rises_from(6),
            {"train_accuracy": [0.6] * 5 + [0.690, *STILL]},
            {"train_accuracy": [0.6] * 5 + [0.710, *STILL]},
        ),
        (
            curve_checks.gains_marginal_from(5),
            {
                "valid_accuracy": [0.4, 0.5, 0.6, 0.65, 0.69, 0.70, *STILL],
                "train_accuracy": [0.4, 0.5, 0.6, 0.65, 0.69, 0.70, *STILL],
            },
            {"valid_accuracy": [0.4 + epoch / 100 for epoch in range(10)]},
        ),
        (
            curve_checks.loss_gap_widens_from(6),
            {"valid_loss": [1.0] * 10, "train_loss": [0.9] * 6 + STILL},
            {"valid_loss": [1.0] * 10, "train_loss": [0.6] * 6 + STILL},
        ),
        (
            curve_checks.training_loss_falls_more_until(5),
            {"valid_loss": [1.0] * 10},
            {"train_loss": [1.0] * 10},
        ),
        (curve_checks.fluctuates_from(5), {"valid_loss": [1.0] * 9 + [1.1]}, {}),
        (
            curve_checks.training_stays_high_from(5),
            {"train_accuracy": [0.5] * 5 + [0.702, *STILL]},
            {"train_accuracy": [0.5] * 5 + [0.710, *STILL]},
        ),
        (
            curve_checks.overfits,
            {"valid_loss": [1.0, 0.5, 0.4, 0.6, 0.7, 0.8, 0.90, 0.901, 0.899, 0.900]},
            {"valid_loss": [1.0, 0.9, 0.9, 0.9, 0.9, 0.9, 0.90, 0.901, 0.899, 0.901]},
        ),
    ],
)
def test_a_curve_check_distinguishes(check, holding, failing):
    for columns, expected in ((holding, "confirmed"), (failing, "not confirmed")):
        one = results(S10, **columns)
        assert check(one, by_name(one)).verdict == expected


@pytest.mark.parametrize(
    ("check", "columns"),
    [
        (curve_checks.training_rises_from(6), {"train_accuracy": [0.6] * 5 + [0.699, *STILL]}),
        (
            curve_checks.loss_gap_widens_from(6),
            {"valid_loss": [1.0] * 10, "train_loss": [0.9] * 5 + [0.702, *STILL]},
        ),
        (
            curve_checks.loss_gap_widens_from(6),
            # Validation loss still falls during epoch 6: its middle explains the gap.
            {"valid_loss": [1.0] * 5 + [0.9] * 5, "train_loss": [0.74] * 6 + STILL},
        ),
        (
            curve_checks.training_loss_falls_more_until(5),
            {"train_loss": [1.0, 0.6, 0.4, 0.3, 0.2, *[0.1] * 5]},
        ),
    ],
)
def test_a_change_within_the_noise_is_not_decidable(check, columns):
    one = results(S10, **columns)
    assert check(one, by_name(one)).verdict == "not decidable"


def test_a_plateau_is_not_overfitting_if_another_schedule_still_gains():
    step = results(S10, valid_accuracy=[0.5] * 6 + STILL)
    for last, expected in ((0.8, "not confirmed"), (0.701, "not decidable")):
        cosine = results(CONTROL, valid_accuracy=[0.7] * 9 + [last], lr=[1e-3] * 10)
        every = by_name(step, cosine)
        assert curve_checks.plateau_is_overfitting(step, cosine, every).verdict == expected


def test_dropout_hinders_if_it_costs_accuracy_at_the_same_epoch():
    for third, expected in ((0.8, "confirmed"), (0.6, "not confirmed"), (0.701, "not decidable")):
        one = results(S3, 0.7, valid=0.70, seeds=(0.702, 0.698))
        full = results(S10, valid_accuracy=[0.5, 0.6, third, *[0.9] * 7])
        assert curve_checks.dropout_hinders(one, full, by_name(one, full)).verdict == expected


def test_training_stopped_early_if_the_next_epoch_adds_more_than_the_variation():
    one = results(S3, 0.7, valid=0.70, seeds=(0.702, 0.698))
    for fourth, expected in ((0.8, "confirmed"), (0.6, "not confirmed"), (0.701, "not decidable")):
        longer = results(S4, valid_accuracy=[0.5, 0.6, 0.7, fourth])
        finding = curve_checks.stopped_early(one, longer, results=by_name(one, longer))
        assert finding.verdict == expected
