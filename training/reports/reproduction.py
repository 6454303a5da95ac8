"""REPRODUCTION.md and the demo's list of conclusions, from the results of report and controls."""

import math
import statistics
from collections import Counter
from typing import Any

from training.experiments import EXPERIMENTS
from training.reports import checks, curves
from training.reports.claims import CLAIMS, OURS, compare_order, judge
from training.reports.results import Results, ResultsByName, test_accuracy
from training.reports.schema import Metrics
from training.reports.text import percent, points, render, table
from training.reports.variation import difference_to_report


def document(results: ResultsByName) -> bytes:
    """REPRODUCTION.md."""
    claims = conclusions(results)
    of_report = [claim for claim in claims if claim["where"] != OURS]
    runs, pairs = independent_runs(results), compare_order(results)
    return render(
        "reproduction_template.md",
        results=results,
        accuracies=accuracies(results),
        seeds=max((len(each.runs) for each in results.values()), default=1),
        claims=claims,
        of_report=of_report,
        verdicts=Counter(claim["verdict"] for claim in of_report),
        refuted=[claim for claim in of_report if claim["verdict"] == "not confirmed"],
        runs=runs,
        hours=sum(run["training"]["seconds"] for run in runs) / 3600,
        pairs=pairs,
        order=Counter(verdict for _, _, verdict, _ in pairs),
        comparison=comparison_table(results),
        epochs=epochs_table(results),
        checks=checks,
        curves=curves,
    )


def accuracies(results: ResultsByName) -> list[dict[str, Any]]:
    """Our mean test accuracy beside the report's, for each experiment that has both."""
    rows = []
    for name, each in results.items():
        if each.row.report:
            found = [test_accuracy(run) for run in each.runs]
            gain = difference_to_report(each, results)
            row = {"name": name, "report": each.row.report.accuracy, "gain": gain}
            row["ours"], row["seeds"] = statistics.mean(found), len(found)
            row["deviation"] = statistics.stdev(found) if len(found) > 1 else None
            row["known"] = math.isfinite(gain.margin)
            row["within"] = row["known"] and abs(gain.value) <= gain.margin
            row["outside"] = row["known"] and abs(gain.value) > 2 * gain.deviation
            rows.append(row)
    return rows


def conclusions(results: ResultsByName) -> list[dict[str, Any]]:
    """Every claim with its verdict."""
    rows = []
    for claim in CLAIMS:
        verdict, figures = judge(claim, results)
        rows.append(
            {
                "where": claim.where,
                "experiment": claim.needs[0] if claim.needs else None,
                "says": claim.says,
                "verdict": verdict,
                "original_verdict": claim.original,
                "figures": figures,
            }
        )
    return rows


def comparison_table(results: ResultsByName) -> str:
    """Test accuracy, precision and recall of seed 0 beside the report's."""
    keys = {"accuracy": "accuracy", "precision": "precision_macro", "recall": "recall_macro"}
    heads = ["experiment"]
    heads += [head for kind in keys for head in (f"{kind}: report", "ours", "difference")]
    rows = []
    for row in EXPERIMENTS.values():
        if row.kind == "own":
            continue
        cells = [row.name]
        for kind, key in keys.items():
            ours = results[row.name].metrics["test"][key] if row.name in results else None  # type: ignore[literal-required]
            theirs = getattr(row.report, kind, None)
            absent = "not printed" if row.section else "none"
            cells += [
                absent if theirs is None else percent(theirs),
                "not trained yet" if ours is None else percent(ours),
                "" if theirs is None or ours is None else points(ours - theirs),
            ]
        rows.append(cells)
    return table(heads, rows)


def epochs_table(results: ResultsByName) -> str:
    """Validation accuracy by epoch for each dropout rate, of the runs with seed 0.

    Of runs of which one is a prefix of the other, the longer one stands for both.
    """
    runs = [
        each
        for each in results.values()
        if each.row.kind == "report" and not longer_runs(each, results)
    ]
    runs.sort(key=lambda each: (each.row.size == "large", each.row.dropout))
    epochs = range(max((len(each.history) for each in runs), default=0))
    heads = ["network", "dropout", *(f"epoch {epoch + 1}" for epoch in epochs)]
    rows = []
    for each in runs:
        cells = [f"{100 * row['valid_accuracy']:.1f}" for row in each.history]
        cells += [""] * (len(epochs) - len(cells))
        rows.append([each.row.size, f"{each.row.dropout:g}", *cells])
    return table(heads, rows)


def longer_runs(one: Results, results: ResultsByName) -> list[Metrics]:
    """The runs of which a run of this setting may be the beginning."""
    return [
        run for other in results.values() if one.row.is_prefix_of(other.row) for run in other.runs
    ]


def independent_runs(results: ResultsByName) -> list[Metrics]:
    """Every run that was trained: one that is a prefix of another counts once, with the longer."""
    return [
        run
        for each in results.values()
        for run in each.runs
        if run["seed"] not in [longer["seed"] for longer in longer_runs(each, results)]
    ]
