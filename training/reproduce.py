"""All experiments of the report: train and measure what is missing, set ours beside theirs.

    python -m training.reproduce

writes REPRODUCTION.md, the README's table of variants, and every card and curve again from the
committed figures. Where nothing is missing, that takes seconds and changes nothing.
"""

import argparse
import re
import statistics
import sys
from collections.abc import Iterable
from pathlib import Path

from mobilenetv3_cifar.files import replace_files
from mobilenetv3_cifar.variants import list_variants
from training import train
from training.commands import one_line_errors
from training.dataset.cifar10 import load
from training.experiments import EXPERIMENTS
from training.loop.provenance import ROOT
from training.publish import draw_curves_and_matrices
from training.quantize import quantize
from training.reports import card, measured
from training.reports.conclusions import CONCLUSIONS, judge, order
from training.reports.judges import BALANCED, FLAT
from training.reports.measured import OVERFITTING, UNDERFITTING, Measured, Variants, percent, points

CARDS = ROOT / "model_cards"


def missing_runs(names: Iterable[str]) -> list[tuple[str, int]]:
    """The (experiment, seed) pairs with no figures yet, longest runs of a setting first.

    A run of five epochs publishes the one of four with the same seed as well.
    """
    wanted = sorted((EXPERIMENTS[name] for name in names), key=lambda row: -row.epochs)
    return [
        (row.name, seed)
        for row in wanted
        for seed in row.seeds
        if not figures_of(CARDS, row.name, seed).exists()
    ]


def figures_of(cards: Path, name: str, seed: int) -> Path:
    return cards / name / ("metrics.json" if seed == 0 else f"seeds/{seed}.json")


def train_missing(names: Iterable[str], options: list[str]) -> None:
    for name, seed in missing_runs(names):
        if not figures_of(CARDS, name, seed).exists():  # or a longer run has published it meanwhile
            command = [name, "--seed", str(seed), *options]
            train.train_and_publish(train.parse_arguments(command))


def quantize_missing(data_dir: Path) -> None:
    """Measure the 8-bit file of every published experiment that lacks the figures."""
    data = None
    for name, variant in measured.read_all(CARDS).items():
        if "int8" not in variant.metrics:
            data = data or load(data_dir)
            quantize(CARDS / name, data)


def table(variants: Variants) -> str:
    """Test accuracy, precision and recall: the report's, ours, and the difference in points."""
    kinds = ("accuracy", "precision", "recall")
    heads = [f"{kind}: report | ours | difference" for kind in kinds]
    lines = [
        f"| experiment | {' | '.join(heads)} | accuracy over seeds, mean ± sd |",
        "|---" * (2 + 3 * len(kinds)) + "|",
    ]
    for name, row in EXPERIMENTS.items():
        if name not in variants:
            lines.append(f"| {name} | not trained yet |{' |' * 3 * len(kinds)}")
            continue
        test = variants[name].metrics["test"]
        cells = [name]
        for kind, key in zip(kinds, ("accuracy", "precision_macro", "recall_macro"), strict=True):
            if row.report:
                theirs = getattr(row.report, kind)
                cells += [percent(theirs), percent(test[key]), points(test[key] - theirs)]
            else:
                cells += ["not printed" if row.section else "none", percent(test[key]), ""]
        lines.append(f"| {' | '.join(cells)} | {spread(variants[name])} |")
    return "\n".join(lines)


def spread(variant: Measured) -> str:
    found = variant.accuracies.values()
    if len(found) == 1:
        return "one seed"
    return f"{100 * variant.mean:.2f} ± {100 * statistics.stdev(found):.2f} % ({len(found)})"


def conclusions(variants: Variants) -> str:
    lines = ["| the report, where | of | it says | we find | figures |", "|---|---|---|---|---|"]
    for conclusion in CONCLUSIONS:
        found = judge(conclusion, variants)
        cells = [conclusion.where, f"`{conclusion.needs[0]}`", conclusion.says]
        cells += [f"**{found.verdict}**", found.figures]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def ordering(variants: Variants) -> str:
    """Whether ours are in the report's order, and a line for each pair that is not."""
    found = order(variants)
    if not found:
        return "No two settings can be compared yet."
    kept = [finding for _, _, finding in found if finding.verdict == "confirmed"]
    lines = [f"{len(kept)} of {len(found)} such pairs are in the same order."]
    lines += [
        f"- `{one}` is above `{other}` in the report, not in ours: {finding.figures}"
        for one, other, finding in found
        if finding not in kept
    ]
    return "\n".join(lines)


def pictures(variants: Variants) -> str:
    """Ours for each of the report's figures 4 to 11 and its matrices, Small beside Large."""
    small, large = (
        [
            variants[name]
            for name, row in EXPERIMENTS.items()
            if row.size == size and name in variants
        ]
        for size in ("small", "large")
    )
    beside = {picture_key(variant): variant for variant in large}
    parts = []
    for variant in small:
        pair = [variant, *filter(None, [beside.pop(picture_key(variant), None)])]
        parts.append(side_by_side(pair))
    return "\n\n".join([*parts, *(side_by_side([variant]) for variant in beside.values())])


def picture_key(variant: Measured) -> tuple[float, int, str]:
    """What the Small and the Large experiment of a setting share."""
    return variant.row.dropout, variant.row.epochs, variant.row.recipe.schedule


def side_by_side(pair: list[Measured]) -> str:
    heads = [f"{each.row.name} ({each.row.section or 'not in the report'})" for each in pair]
    curves, matrices = (
        [f"![{alt} of {each.row.name}](model_cards/{each.row.name}/{file})" for each in pair]
        for alt, file in (
            ("Loss and accuracy", "curves.png"),
            ("Confusion matrices", "confusion_matrix.png"),
        )
    )
    rows = [heads, ["---"] * len(pair), curves, matrices]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def variants_table() -> str:
    """The README's table, best validation accuracy first."""
    lines = [
        "| variant | validation accuracy | test accuracy | parameters | MACs | weights |",
        "|---|---|---|---|---|---|",
    ]
    for variant in list_variants():
        cells = [
            f"[`{variant.name}`](model_cards/{variant.name})",
            percent(variant.accuracy),
            percent(variant.test_accuracy),
            f"{variant.parameters:,}",
            f"{variant.macs / 1e6:.1f} M",
            f"{variant.bytes / 1e6:.1f} MB",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def write_tables(cards: Path = CARDS, root: Path = ROOT) -> str:
    """Write every generated text again; return the comparison table."""
    variants = measured.read_all(cards)
    for name in variants:
        card.write_card(cards / name)
        draw_curves_and_matrices(cards / name)
    template = (Path(__file__).parent / "reports" / "reproduction_template.md").read_text(
        encoding="utf-8"
    )
    comparison = table(variants)
    texts = {
        "table": comparison,
        "order": ordering(variants),
        "conclusions": conclusions(variants),
        "figures": pictures(variants),
        "overfitting": f"{100 * OVERFITTING:g}",
        "underfitting": f"{100 * UNDERFITTING:g}",
        "flat": f"{100 * FLAT:g}",
        "balanced": f"{100 * BALANCED:g}",
    }
    for key, text in texts.items():
        template = template.replace(f"{{{{ {key} }}}}", text)
    start, end = "<!-- variants: written by python -m training.reproduce -->", "<!-- /variants -->"
    marked = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
    block = f"{start}\n{variants_table()}\n{end}"
    readme = marked.sub(lambda match: block, (root / "README.md").read_text(encoding="utf-8"))
    replace_files(root, {"REPRODUCTION.md": template.encode(), "README.md": readme.encode()})
    return comparison


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.reproduce", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: every experiment")
    parser.add_argument("--data-dir", default="data")
    parser.add_argument("--runs-dir", default="runs")
    parser.add_argument("--tables-only", action="store_true", help="train nothing")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in EXPERIMENTS]
    if unknown:
        sys.exit(
            f"error: no experiment is called {unknown[0]!r}; there are: {', '.join(EXPERIMENTS)}"
        )
    with one_line_errors():
        if not arguments.tables_only:
            options = ["--data-dir", arguments.data_dir, "--runs-dir", arguments.runs_dir]
            train_missing(arguments.names or EXPERIMENTS, options)
            quantize_missing(Path(arguments.data_dir))
        print(write_tables())


if __name__ == "__main__":
    main()
