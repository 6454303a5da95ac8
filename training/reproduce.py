"""All experiments of the report: train and measure what is missing, set ours beside theirs.

    python -m training.reproduce

writes REPRODUCTION.md, the README's table of variants, and every card and curve again from the
committed figures. Where nothing is missing, that takes seconds and changes nothing.
"""

import argparse
import re
import statistics
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from mobilenetv3_cifar.variants import list_variants
from training import card
from training.card import percent
from training.conclusions import CONCLUSIONS, Measured, judge
from training.data import load
from training.experiments import EXPERIMENTS
from training.provenance import ROOT
from training.publish import draw_curves_and_matrices
from training.quantize import quantize

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
        if figures_of(CARDS, name, seed).exists():
            continue  # a longer run has published it meanwhile
        command = [sys.executable, "-m", "training.train", name, "--seed", str(seed), *options]
        done = subprocess.run(command, check=False)
        if done.returncode:
            sys.exit(done.returncode)


def quantize_missing(names: Iterable[str], data_dir: Path) -> None:
    """Measure the 8-bit file of every published experiment that lacks the figures."""
    data = None
    for name in names:
        metrics = figures_of(CARDS, name, seed=0)
        if metrics.exists() and "int8" not in card.read_json(metrics):
            data = data or load(data_dir)
            quantize(metrics.parent, data)


def read_all(cards: Path) -> dict[str, Measured]:
    """Every published experiment, in the order of the experiments' rows."""
    return {
        name: Measured(
            card.read_json(cards / name / "metrics.json"),
            card.read_history(cards / name / "history.csv"),
            [card.read_json(path) for path in sorted((cards / name / "seeds").glob("*.json"))],
        )
        for name in EXPERIMENTS
        if (cards / name / "metrics.json").exists()
    }


def table(variants: dict[str, Measured]) -> str:
    """Test accuracy, precision and recall: the report's, ours, and the difference in points."""
    lines = [
        "| experiment | accuracy: report | ours | difference | mean ± sd over seeds "
        "| precision: report | ours | recall: report | ours |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in EXPERIMENTS.items():
        if name not in variants:
            lines.append(f"| {name} | not trained yet | | | | | | | |")
            continue
        test, report = variants[name].metrics["test"], row.report
        cells = [name, "not printed", percent(test["accuracy"]), "", spread(variants[name])]
        cells += ["not printed", percent(test["precision_macro"])]
        cells += ["not printed", percent(test["recall_macro"])]
        if report:
            cells[1] = percent(report.accuracy)
            cells[3] = f"{100 * (test['accuracy'] - report.accuracy):+.2f}"
            cells[5], cells[7] = percent(report.precision), percent(report.recall)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def spread(variant: Measured) -> str:
    if not variant.seeds:
        return "one seed"
    found = [variant.test, *(seed["test"]["accuracy"] for seed in variant.seeds)]
    mean, deviation = statistics.mean(found), statistics.stdev(found)
    return f"{100 * mean:.2f} ± {100 * deviation:.2f} ({len(found)})"


def conclusions(variants: dict[str, Measured]) -> str:
    lines = ["| the report, where | of | it says | we find | figures |", "|---|---|---|---|---|"]
    for conclusion in CONCLUSIONS:
        found = judge(conclusion, variants)
        cells = [conclusion.where, f"`{conclusion.needs[0]}`", conclusion.says]
        cells += [f"**{found.verdict}**", found.figures]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def pictures(variants: dict[str, Measured]) -> str:
    """For each of the report's figures 4 to 11 and its confusion matrices, ours."""
    parts = []
    for name in variants:
        row = EXPERIMENTS[name]
        heading = f"### {name} ({row.section})" if row.section else f"### {name}"
        parts.append(
            f"{heading}\n\n![Loss and accuracy](model_cards/{name}/curves.png)\n\n"
            f"![Confusion matrices](model_cards/{name}/confusion_matrix.png)"
        )
    return "\n\n".join(parts)


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
    variants = read_all(cards)
    for name in variants:
        card.write_card(cards / name)
        draw_curves_and_matrices(cards / name)
    template = (Path(__file__).parent / "reproduction_template.md").read_text(encoding="utf-8")
    comparison = table(variants)
    texts = {
        "table": comparison,
        "conclusions": conclusions(variants),
        "figures": pictures(variants),
    }
    for key, text in texts.items():
        template = template.replace(f"{{{{ {key} }}}}", text)
    (root / "REPRODUCTION.md").write_text(template, encoding="utf-8")
    readme = root / "README.md"
    start, end = "<!-- variants: written by python -m training.reproduce -->", "<!-- /variants -->"
    marked = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
    block = f"{start}\n{variants_table()}\n{end}"
    text = marked.sub(lambda match: block, readme.read_text(encoding="utf-8"))
    readme.write_text(text, encoding="utf-8")
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
    if not arguments.tables_only:
        options = ["--data-dir", arguments.data_dir, "--runs-dir", arguments.runs_dir]
        train_missing(arguments.names or EXPERIMENTS, options)
        quantize_missing(arguments.names or EXPERIMENTS, Path(arguments.data_dir))
    print(write_tables())


if __name__ == "__main__":
    main()
