"""These tests check our verdicts on the claims of the student report."""

import pytest

from mobilenetv3_cifar.variants import variants_folder
from tests.fake_results import by_name, results
from training.experiments import EXPERIMENTS
from training.reports.claims import (
    CLAIMS,
    COSINE,
    L3,
    L4,
    OURS,
    OVERFIT,
    S4,
    S10,
    compare_order,
    judge,
)
from training.reports.reproduction import document
from training.reports.results import Results, read_all


def test_every_claim_needs_experiments_that_exist_and_none_of_our_own():
    needed = {name for claim in CLAIMS for name in claim.needs}
    assert {EXPERIMENTS[name].kind for name in needed} == {"report", "control"}
    of_report = [claim for claim in CLAIMS if claim.where != OURS]
    assert all(EXPERIMENTS[claim.needs[0]].kind == "report" for claim in of_report if claim.needs)


def test_a_claim_about_an_untrained_network_is_not_decidable():
    claim = next(claim for claim in CLAIMS if claim.needs == (L4, S4))
    assert judge(claim, by_name(results(S4))) == ("not decidable", f"not trained yet: {L4}")


@pytest.mark.parametrize("names", [(), (S4,), (COSINE,), (L4, *OVERFIT)])
def test_the_document_can_be_written_for_few_results(names):
    text = document({name: each for name, each in committed().items() if name in names}).decode()
    assert "not trained yet" in text
    assert all(f"| {name} |" in text for name in names)


def test_only_pairs_that_the_report_has_far_apart_are_compared():
    # The report's accuracies are 74.65 % (`small`), 76.76 % (`ten`) and 76.18 % (`large`).
    small = results(S4, 0.76, seeds=(0.761, 0.759))  # standard deviation: 0.1 points
    ten, large = results(S10, 0.75), results(L4, 0.7605)
    pairs = compare_order(by_name(small, ten, large))
    assert [(one, other, verdict) for one, other, verdict, _ in pairs] == [
        (S10, S4, "not confirmed"),
        (L4, S4, "not decidable"),  # our accuracies differ by less than the margin
    ]
    assert compare_order(by_name(results(S4), results(L3))) == []


def verdicts(of_results):
    return [judge(claim, of_results)[0] for claim in CLAIMS]


def committed():
    return {
        name: each
        for name, each in read_all(variants_folder()).items()
        if EXPERIMENTS[name].kind != "own"
    }


def test_no_verdict_depends_on_which_seed_is_shipped():
    results = committed()
    for first in (1, 2):
        reordered = {
            name: Results(
                each.runs[first], each.history, each.runs[:first] + each.runs[first + 1 :]
            )
            if len(each.runs) > first
            else each
            for name, each in results.items()
        }
        assert verdicts(reordered) == verdicts(results)


def test_the_control_that_overfits_changes_no_other_verdict():
    results = committed()
    without = {name: each for name, each in results.items() if name not in OVERFIT}
    others = slice(-len(OVERFIT))
    assert verdicts(without)[others] == verdicts(results)[others]
    assert verdicts(results)[-len(OVERFIT) :] == ["confirmed", "confirmed"]
