"""The generated parts of REPRODUCTION.md, and the README's table of variants."""

import statistics
from collections import Counter

from mobilenetv3_cifar.variants import Variant
from training.experiments import EXPERIMENTS, Experiment
from training.reports import original_rules
from training.reports.claims import CLAIMS, Claim, judge
from training.reports.markdown import table
from training.reports.results import (
    Results,
    ResultsByName,
    in_reproduction,
    of_reproduction,
    percent,
    points,
)
from training.reports.schema import Metrics
from training.reports.variation import Estimate, difference_to_report

VERDICTS = ("confirmed", "not confirmed", "not decidable")


def reproduction_rows() -> list[Experiment]:
    return [row for row in EXPERIMENTS.values() if in_reproduction(row)]


def answer(results: ResultsByName) -> str:
    """Which accuracies reproduce, how many claims hold, and what it took."""
    compared = compare_accuracies(results)
    inside = [name for name, gain in compared if within(gain)]
    outside = [name for name, gain in compared if original_rules.outside(gain)]
    judged = [(claim, judge(claim, results).verdict) for claim in report_claims()]
    verdicts = Counter(verdict for _, verdict in judged)
    refuted = [
        f'"{claim.says}" ({claim.needs[0] if claim.needs else claim.where})'
        for claim, verdict in judged
        if verdict == "not confirmed"
    ]
    runs = independent_runs(results)
    hours = sum(run["training"]["seconds"] for run in runs) / 3600
    seeds = max((len(each.runs) for each in of_reproduction(results).values()), default=1)
    lines = [
        f"- **Accuracies**: of {len(compared)} that the report prints, {len(inside)} are within "
        f"the 95 % interval of our run-to-run variation. The interval is wide, because it rests on "
        f"{seeds} seeds at most ({seeds - 1} degrees of freedom). By our original rule, two "
        f"standard deviations, {len(compared) - len(outside)} are; outside are {names(outside)}.",
        f"- **Claims**: of {sum(verdicts.values())} claims of the report, "
        f"{', '.join(f'{verdicts[verdict]} are {verdict}' for verdict in VERDICTS)}. "
        f"Not confirmed: {'; '.join(refuted) or 'none'}.",
        f"- **Cost**: {hours:.1f} hours of training for {len(runs)} runs.",
    ]
    return "\n".join(lines)


def names(experiments: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in experiments) or "none"


def report_claims() -> list[Claim]:
    return [claim for claim in CLAIMS if claim.where != "not in the report"]


def compare_accuracies(results: ResultsByName) -> list[tuple[str, Estimate]]:
    """Our mean test accuracy minus the report's, for each experiment that has both."""
    return [
        (name, difference_to_report(each, results))
        for name, each in of_reproduction(results).items()
        if each.row.report
    ]


def within(gain: Estimate) -> bool:
    return gain.margin is not None and abs(gain.value) <= gain.margin


def accuracy_table(results: ResultsByName) -> str:
    heads = ["experiment", "report", "ours (seeds)", "difference", "95 % interval: ±"]
    heads += ["two standard deviations", "within the interval"]
    rows = []
    for name, gain in compare_accuracies(results):
        report = results[name].row.report
        assert report
        limits = ["unknown", "unknown", "not decidable"]
        if gain.margin is not None and gain.deviation is not None:
            limits = [f"{100 * gain.margin:.2f}", f"{200 * gain.deviation:.2f}"]
            limits.append("yes" if within(gain) else "**no**")
        rows.append([name, percent(report.accuracy), seed_summary(results[name])])
        rows[-1] += [points(gain.value), *limits]
    return table(heads, rows)


def comparison_table(results: ResultsByName) -> str:
    """Test accuracy, precision and recall of seed 0 beside the report's."""
    kinds = ("accuracy", "precision", "recall")
    heads = ["experiment"]
    heads += [head for kind in kinds for head in (f"{kind}: report", "ours", "difference")]
    rows = []
    for row in reproduction_rows():
        if row.name not in results:
            rows.append([row.name, "not trained yet", *[""] * (len(heads) - 2)])
            continue
        test, cells = results[row.name].metrics["test"], [row.name]
        ours = (test["accuracy"], test["precision_macro"], test["recall_macro"])
        for kind, value in zip(kinds, ours, strict=True):
            if row.report:
                theirs = getattr(row.report, kind)
                cells += [percent(theirs), percent(value), points(value - theirs)]
            else:
                cells += ["not printed" if row.section else "none", percent(value), ""]
        rows.append(cells)
    return table(heads, rows)


def seed_summary(results: Results) -> str:
    accuracies = [run["test"]["accuracy"] for run in results.runs]
    if len(accuracies) == 1:
        return f"{percent(accuracies[0])} (1)"
    return (
        f"{100 * results.mean:.2f} ± {100 * statistics.stdev(accuracies):.2f} % ({len(accuracies)})"
    )


def epochs_table(results: ResultsByName) -> str:
    """Validation accuracy by epoch for each dropout rate, of the runs with seed 0.

    Of runs of which one is a prefix of the other, the longer one stands for both.
    """
    runs = [
        each
        for each in of_reproduction(results).values()
        if each.row.kind == "report" and not is_prefix(each, results)
    ]
    runs.sort(key=lambda each: (each.row.size == "large", each.row.dropout))
    epochs = range(1, max((len(each.history) for each in runs), default=0) + 1)
    heads = ["network", "dropout", *(f"epoch {epoch}" for epoch in epochs)]
    rows = [
        [
            each.row.size,
            f"{each.row.dropout:g}",
            *(f"{100 * row['valid_accuracy']:.1f}" for row in each.history),
            *[""] * (len(epochs) - len(each.history)),
        ]
        for each in runs
    ]
    return table(heads, rows)


def is_prefix(one: Results, results: ResultsByName) -> bool:
    return any(one.row.is_prefix_of(other.row) for other in results.values())


def independent_runs(results: ResultsByName) -> list[Metrics]:
    """Every run that was trained: one that is a prefix of another counts once, with the longer."""
    kept = of_reproduction(results)
    return [
        run
        for each in kept.values()
        for run in each.runs
        if not any(
            each.row.is_prefix_of(other.row)
            and run["seed"] in [other_run["seed"] for other_run in other.runs]
            for other in kept.values()
        )
    ]


def cost_table(results: ResultsByName) -> str:
    rows = [
        [
            run["name"],
            str(run["seed"]),
            f"{run['training']['seconds'] / 3600:.2f}",
            f"{run['epochs'] * run['train']['total']:,}",
            run["training"]["device"],
        ]
        for run in independent_runs(results)
    ]
    return table(["run", "seed", "hours", "training images", "device"], rows)


def figure_table(results: ResultsByName) -> str:
    """Our curves and confusion matrices for figures 4 to 11, Small beside Large."""
    kept = [results[row.name] for row in reproduction_rows() if row.name in results]
    groups: dict[tuple[float, int, str], list[Results]] = {}
    for each in sorted(kept, key=lambda each: each.row.size == "large"):
        groups.setdefault((each.row.dropout, each.row.epochs, each.row.kind), []).append(each)
    return "\n\n".join(map(side_by_side, groups.values()))


def side_by_side(group: list[Results]) -> str:
    heads = [f"{each.name} ({each.row.section or 'not in the report'})" for each in group]
    rows = [
        [f"![{alt} of {each.name}](model_cards/{each.name}/{file})" for each in group]
        for alt, file in (
            ("Loss and accuracy", "curves.png"),
            ("Confusion matrices", "confusion_matrix.png"),
        )
    ]
    return table(heads, rows)


def variants_table(variants: list[Variant]) -> str:
    """The README's table, best validation accuracy first."""
    heads = ["variant", "validation accuracy", "test accuracy", "parameters", "MACs", "weights"]
    rows = [
        [
            f"[`{variant.name}`](model_cards/{variant.name})",
            percent(variant.accuracy),
            percent(variant.test_accuracy),
            f"{variant.parameters:,}",
            f"{variant.macs / 1e6:.1f} M",
            f"{variant.bytes / 1e6:.1f} MB",
        ]
        for variant in variants
    ]
    return table(heads, rows)
