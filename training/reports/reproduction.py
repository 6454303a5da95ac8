"""Generate REPRODUCTION.md and the demo's list of claims from the results of the experiments."""

import math
from collections import Counter
from typing import Any

from training.reports import checks, curves
from training.reports.claims import CLAIMS, L3, L5, L10, OURS, S3, S5, S10, compare_order, judge
from training.reports.results import ResultsByName, measure, test_accuracy, test_precision
from training.reports.schema import Metrics
from training.reports.text import percent, points, render, table
from training.reports.variation import estimate, shared_runs, variation

LONGEST = (S10, S5, S3, L10, L5, L3)  # the longest experiment for each size and dropout rate
SCORES = {  # the keys of `Reported`, and our measures of the same scores
    "accuracy": test_accuracy,
    "precision": test_precision,
    "recall": measure("test", "recall_macro"),
}


def document(results: ResultsByName) -> bytes:
    """Return the content of REPRODUCTION.md."""
    claims = judge_all(results)
    of_report = [claim for claim in claims if claim["where"] != OURS]
    runs, pairs = independent_runs(results), compare_order(results)
    return render(
        "reproduction_template.md",
        results=results,
        scores=[row for kind in ("accuracy", "precision") for row in against_report(results, kind)],
        seeds=max((len(each.runs) for each in results.values()), default=0),
        claims=claims,
        of_report=of_report,
        verdicts=Counter(claim["verdict"] for claim in of_report),
        runs=runs,
        pairs=pairs,
        order=Counter(verdict for _, _, verdict, _ in pairs),
        comparison=comparison_table(results),
        runs_by_dropout=[results[name] for name in LONGEST if name in results],
        checks=checks,
        curves=curves,
    )


def against_report(results: ResultsByName, kind: str) -> list[dict[str, Any]]:
    """Compare our mean test scores of one kind with the scores in the student report."""
    score, rows = SCORES[kind], []
    for each in results.values():
        report: Any = each.row.report
        if report:
            theirs = variation(each, results, score).of(report[kind])  # as if from one of our runs
            gain = estimate(each, results, score).minus(theirs)
            rows.append(
                {
                    "name": each.name,
                    "kind": kind,
                    "report": report[kind],
                    "ours": [score(run) for run in each.runs],
                    "gain": gain,
                    "known": math.isfinite(gain.margin),
                    "within": abs(gain.value) <= gain.margin < math.inf,
                    "outside": abs(gain.value) > 2 * gain.deviation,
                }
            )
    return rows


def judge_all(results: ResultsByName) -> list[dict[str, Any]]:
    """Judge every claim by our results. Return the claims with verdicts and supporting numbers."""
    return [
        {
            "where": claim.where,
            "experiment": claim.needs[0] if claim.needs else None,
            "says": claim.says,
            "verdict": verdict,
            "original_verdict": claim.original,
            "numbers": numbers,
        }
        for claim in CLAIMS
        for verdict, numbers in [judge(claim, results)]
    ]


def comparison_table(results: ResultsByName) -> str:
    """Return a table that compares the report's test results with our results for seed 0."""
    heads = [head for kind in SCORES for head in (f"{kind}: report", "ours", "difference")]
    rows = []
    for name, each in results.items():
        cells = [name]
        report: Any = each.row.report or {}
        for kind, score in SCORES.items():
            ours, theirs = score(each.metrics), report.get(kind)
            absent = "not given" if each.row.section else "none"
            cells += [absent if theirs is None else percent(theirs), percent(ours)]
            cells.append("" if theirs is None else points(ours - theirs))
        rows.append(cells)
    return table(["experiment", *heads], rows)


def independent_runs(results: ResultsByName) -> list[Metrics]:
    """Return all finished runs, except runs that are the beginning of a longer run."""
    beginnings = [
        (shorter.name, run["seed"])
        for longer, shorter in shared_runs(results)
        for run in longer.runs
    ]
    runs = [run for each in results.values() for run in each.runs]
    return [run for run in runs if (run["name"], run["seed"]) not in beginnings]
