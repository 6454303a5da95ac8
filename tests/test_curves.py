"""These tests check the verdicts on claims about training curves."""

import pytest

from tests.fake_results import NO, OPEN, STILL, YES, decide, results
from training.reports.claims import COSINE, L3, L4, L10, OVERFIT, S4, S10


@pytest.mark.parametrize(("last", "expected"), [(0.70, OPEN), (0.75, NO), (0.65, YES)])
def test_a_plateau_is_not_overfitting_if_another_schedule_still_gains(last, expected):
    step = results(S10, valid_accuracy=[0.6] * 6 + STILL)
    cosine = results(COSINE, valid_accuracy=[0.7] * 9 + [last], lr=[1e-3] * 10)
    assert decide(S10, "plateau", step, cosine)[0] == expected


RISING = [0.5, 0.6, 0.65, 0.68, 0.69, 0.69, *STILL]
ACCURACIES, LOSSES = ("train_accuracy", "valid_accuracy"), ("train_loss", "valid_loss")


def improving(name, accuracies=RISING, changed=()):
    """Make results with `accuracies` in the columns `changed`, and RISING in all other columns.

    In a column of losses, each accuracy is replaced by 1 - accuracy.
    """
    columns = {each: accuracies if each in changed else RISING for each in ACCURACIES}
    columns |= {
        each: [1 - value for value in (accuracies if each in changed else RISING)]
        for each in LOSSES
    }
    return results(name, **columns)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (S4, "rise and losses fall"),
        (L4, "rise and losses fall"),
        (S10, "improve steadily"),  # in the first five epochs
        (L10, "improve rapidly"),
        (L3, "over the three epochs"),
    ],
)
@pytest.mark.parametrize(("third", "expected"), [(0.65, YES), (0.602, OPEN), (0.59, NO)])
@pytest.mark.parametrize("column", [*ACCURACIES, *LOSSES])
def test_every_step_of_an_improvement_must_exceed_the_noise(name, says, third, expected, column):
    one = improving(name, [*RISING[:2], third, *RISING[3:]], (column,))
    verdict, numbers = decide(name, says, improving(S10), improving(L10), one)
    assert verdict == expected
    if expected == OPEN:
        step = "-0.002 ± 0.004" if column in LOSSES else "+0.20 ± 0.37"
        assert numbers.endswith(f" {step} in epoch 3")


@pytest.mark.parametrize(
    ("name", "says", "expected", "columns"),
    [
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
        (S10, "more epochs", YES, {"valid_loss": [1, 0.9, 0.8, 0.69, 0.7, 0.7, *STILL]}),
        (S10, "more epochs", NO, {"valid_loss": [1, 0.9, 0.8, 0.71, 0.7, 0.7, *STILL]}),
        (S10, "more epochs", OPEN, {"valid_loss": [1, 0.9, 0.8, 0.701, 0.7, 0.7, *STILL]}),
        (S10, "overfits", YES, {"valid_loss": [1, 0.8, 0.6965, 0.7, 0.7, 0.7, *STILL]}),
        (S10, "overfits", NO, {"valid_loss": [1, 0.8, 0.704, 0.704, 0.704, 0.704, *STILL]}),
        (S10, "overfits", OPEN, {"valid_loss": [1, 0.8, 0.7, 0.7, 0.7, 0.7, *STILL[:3], 0.701]}),
    ],
)
def test_a_claim_about_a_curve(name, says, expected, columns):
    assert decide(name, says, results(name, **columns))[0] == expected


def test_changes_are_shown_as_losses_or_in_percentage_points():
    ten = results(S10, valid_loss=[0.70] * 6 + STILL, train_accuracy=[0.69] * 6 + STILL)
    assert decide(S10, "more epochs", ten)[1] == "epochs 4 to 10: validation loss +0.000 ± 0.004"
    shown = "epochs 6 to 10: training accuracy +1.00 ± 0.37"
    assert decide(S10, "still rises", ten)[1] == shown


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
