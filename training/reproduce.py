"""All experiments of the report: train and measure what is missing, compare with the report.

    python -m training.reproduce

writes REPRODUCTION.md, the README's table of variants, the demo's list of conclusions, and every
card and curve again from the committed results. Where nothing is missing, that takes seconds and
changes nothing.
"""

import argparse
import re
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
from training.quantize import quantize
from training.reports import card, recipes, reproduction
from training.reports.figures import draw_curves_and_matrices
from training.reports.results import read_all
from training.reports.text import percent, table, to_json

CARDS = ROOT / "model_cards"


def missing_runs(names: Iterable[str]) -> list[tuple[str, int]]:
    """The (experiment, seed) pairs with no results yet, longest runs of a setting first.

    A run of five epochs publishes the one of four with the same seed as well.
    """
    wanted = sorted((EXPERIMENTS[name] for name in names), key=lambda row: -row.epochs)
    return [
        (row.name, seed)
        for row in wanted
        for seed in row.seeds
        if not results_file(CARDS, row.name, seed).exists()
    ]


def results_file(cards: Path, name: str, seed: int) -> Path:
    return cards / name / ("metrics.json" if seed == 0 else f"seeds/{seed}.json")


def train_missing(names: Iterable[str], options: list[str]) -> None:
    for name, seed in missing_runs(names):
        if not results_file(
            CARDS, name, seed
        ).exists():  # or a longer run has published it meanwhile
            command = [name, "--seed", str(seed), *options]
            train.train_and_publish(train.parse_arguments(command))


def quantize_missing(data_dir: Path) -> None:
    """Measure the 8-bit file of every experiment whose results lack it."""
    data = None
    for name, results in read_all(CARDS).items():
        if "int8" not in results.metrics:
            data = data or load(data_dir)
            quantize(CARDS / name, data)


def write_tables(cards: Path = CARDS, root: Path = ROOT) -> str:
    """Write every generated text again; return the comparison table."""
    results = read_all(cards)
    for name in results:
        card.write_card(cards / name)
        draw_curves_and_matrices(cards / name)
    reproduced = {name: each for name, each in results.items() if each.row.kind != "own"}
    readme = insert_variants((root / "README.md").read_text(encoding="utf-8"))
    texts = {"REPRODUCTION.md": reproduction.document(reproduced), "README.md": readme.encode()}
    replace_files(root, texts)
    assets = root / "demo" / "assets"
    assets.mkdir(parents=True, exist_ok=True)
    replace_files(assets, {"conclusions.json": to_json(reproduction.conclusions(reproduced))})
    recipes.write_recipes(root / "docs")
    return reproduction.comparison_table(reproduced)


def insert_variants(readme: str) -> str:
    """The README with its table of variants, between two markers, written again."""
    start, end = "<!-- variants: written by python -m training.reproduce -->", "<!-- /variants -->"
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
        for variant in list_variants()
    ]
    marked = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
    return marked.sub(lambda match: f"{start}\n{table(heads, rows)}\n{end}", readme)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.reproduce", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="default: the report's experiments and its control"
    )
    parser.add_argument("--data-dir", default="data")
    parser.add_argument("--runs-dir", default="runs")
    parser.add_argument("--tables-only", action="store_true", help="train nothing")
    arguments = parser.parse_args()
    reproduced = [row.name for row in EXPERIMENTS.values() if row.kind != "own"]
    unknown = [name for name in arguments.names if name not in EXPERIMENTS]
    if unknown:
        sys.exit(
            f"error: no experiment is called {unknown[0]!r}; there are: {', '.join(EXPERIMENTS)}"
        )
    with one_line_errors():
        if not arguments.tables_only:
            options = ["--data-dir", arguments.data_dir, "--runs-dir", arguments.runs_dir]
            train_missing(arguments.names or reproduced, options)
            quantize_missing(Path(arguments.data_dir))
        print(write_tables())


if __name__ == "__main__":
    main()
