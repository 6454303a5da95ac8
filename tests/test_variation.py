"""These tests compare standard deviations and intervals with values worked out by hand."""

import math

import pytest

from tests.fake_results import by_name, results
from training.reports.claims import COSINE, L4, L5, S3, S4, S5, S10
from training.reports.reproduction import against_report
from training.reports.results import validation_accuracy
from training.reports.variation import difference, noise, variation


def test_two_settings_differ_by_their_means():
    small = results(S4, 0.75, seeds=(0.752, 0.748))
    large = results(L4, 0.78)  # one seed, so it is assumed to vary like the Small network
    gain = difference(large, small, by_name(small, large))
    assert gain.value == pytest.approx(0.03)
    # The standard deviation of one run is 0.2 points. For one run minus the mean of three runs, it
    # is 0.2 * sqrt(1 + 1/3) points.
    assert gain.deviation == pytest.approx(0.002 * math.sqrt(4 / 3))
    assert gain.margin == pytest.approx(4.303 * 0.002 * math.sqrt(4 / 3), rel=1e-3)


def test_a_run_and_its_prefix_are_compared_seed_by_seed():
    four = results(S4, 0.75, seeds=(0.76, 0.74))
    five = results(S5, 0.755, seeds=(0.766, 0.744))  # 0.5, 0.6 and 0.4 points more than `four`
    gain = difference(five, four, by_name(four, five))
    assert (gain.value, gain.df) == (pytest.approx(0.005), 2)
    assert gain.deviation == pytest.approx(0.001 / math.sqrt(3))
    large = by_name(four, five, results(L4, 0.77), results(L5, 0.7715))
    # L5 and L4 have one seed each, so the standard deviation comes from S5 minus S4.
    gain = difference(large[L5], large[L4], large)
    assert (gain.value, gain.deviation) == (pytest.approx(0.0015), pytest.approx(0.001))


def test_one_seed_takes_the_deviation_of_the_setting_nearest_in_epochs():
    three, five = results(S3, 0.7, seeds=(0.72, 0.68)), results(S5, 0.76, seeds=(0.761, 0.759))
    ten = results(S10, 0.77)
    every = by_name(three, five, ten)
    assert variation(ten, every).deviation == pytest.approx(0.001)
    assert variation(three, every).deviation == pytest.approx(0.02)
    assert variation(three, every, validation_accuracy).deviation == pytest.approx(0.0306, abs=1e-4)


def test_controls_do_not_change_the_variation_of_the_reports_settings():
    small, ten = results(S3, 0.70, seeds=(0.701, 0.699)), results(S10, 0.76)
    control = results(COSINE, 0.83, seeds=(0.85, 0.80))
    alone, beside = by_name(small, ten), by_name(small, ten, control)
    assert difference(ten, small, beside) == difference(ten, small, alone)
    assert variation(control, beside).deviation == pytest.approx(0.0252, abs=1e-4)


def test_nothing_is_known_without_seeds():
    one, other = results(L4, 0.9), results(S4, 0.5)
    gain = difference(one, other, by_name(one, other))
    assert (gain.value, gain.margin) == (pytest.approx(0.4), math.inf)


def test_the_report_is_one_run():
    one = results(S4, 0.75, seeds=(0.752, 0.748))
    (row,) = against_report(by_name(one), "accuracy")
    assert row["gain"].value == pytest.approx(0.75 - 0.7465)
    assert row["gain"].deviation == pytest.approx(0.002 * math.sqrt(4 / 3))
    for run, precision in zip(one.runs, (0.75, 0.751, 0.749), strict=True):
        run["test"]["precision_macro"] = precision
    (row,) = against_report(by_name(one), "precision")
    assert row["gain"].value == pytest.approx(0.75 - 0.745888, abs=1e-6)
    assert row["gain"].deviation == pytest.approx(0.001 * math.sqrt(4 / 3))
    assert (row["within"], row["outside"]) == (True, True)


def test_the_noise_of_a_curve_comes_from_its_still_epochs():
    accuracies = [0.4, 0.5, 0.6, 0.7, 0.71, 0.72, 0.721, 0.719, 0.720, 0.720]
    ten = results(S10, valid_accuracy=accuracies)
    deviation = 0.001 * math.sqrt(2 / 3)  # the standard deviation of 0.721, 0.719, 0.720 and 0.720
    expected = (0, pytest.approx(math.sqrt(2) * deviation), 3)
    assert noise(ten, by_name(ten), valid_accuracy) == expected
    short = results(S4)  # its learning rate stays above STILL_LR, so the noise of `ten` is used
    assert noise(short, by_name(short, ten), valid_accuracy) == expected
    assert noise(short, by_name(short), valid_accuracy).margin == math.inf


def valid_accuracy(row):
    return row["valid_accuracy"]
