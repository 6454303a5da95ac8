"""Train the experiments that have no results yet, and compare all results with the report.

    python -m training.reproduce
    python -m training.reproduce --devices cuda:0 cuda:1     # one run at a time on each GPU

From the results in `model_cards/`, the command then writes REPRODUCTION.md, docs/recipe.md, the
README's table of variants, the demo's list of claims, and every model's card and curves.
"""

import itertools
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from mobilenetv3_cifar.command_line import command_parser, one_line_errors
from mobilenetv3_cifar.files import replace_files
from mobilenetv3_cifar.variants import list_variants
from training.errors import TrainingError
from training.experiments import EXPERIMENTS, Experiment
from training.loop.provenance import ROOT
from training.reports import card, recipes, reproduction
from training.reports.figures import draw_curves_and_matrices
from training.reports.results import read_all
from training.reports.text import percent, table, to_json

CARDS = ROOT / "model_cards"
REPRODUCED = [row.name for row in EXPERIMENTS.values() if row.kind != "own"]
MARKERS = ("<!-- variants: written by python -m training.reproduce -->", "<!-- /variants -->")


def train_missing(names: Iterable[str], options: list[str], devices: Sequence[str] = ("",)) -> None:
    """Train all runs of the named experiments that have no results yet, one at a time per device.

    The device "" means the best available one. `options` are added to each `training.train`
    command. Runs that differ only in length are trained on the same device, the longest first,
    because a run also writes the results of each shorter run that is identical to its first epochs.
    The runs of a `rank` start only when all runs of lower ranks have ended.

    Raises:
        TrainingError: a run failed. The other runs were stopped and can be resumed.
    """
    ranks: dict[int, dict[object, list[tuple[str, int]]]] = {}
    for row in sorted((EXPERIMENTS[name] for name in names), key=lambda row: -row.epochs):
        groups = ranks.setdefault(rank(row), {})
        for seed in row.seeds:
            runs = groups.setdefault((repr(row.model), row.recipe, seed), [])
            runs.append((row.name, seed))
    processes: list[subprocess.Popen[bytes]] = []

    def train_on(device: str, waiting: Iterator[list[tuple[str, int]]]) -> None:
        for name, seed in itertools.chain.from_iterable(waiting):
            results = CARDS / name / (f"seeds/{seed}.json" if seed else "metrics.json")
            if results.exists():
                continue
            command = [sys.executable, "-m", "training.train", name, "--seed", str(seed), *options]
            process = subprocess.Popen([*command, *(["--device", device] if device else [])])
            processes.append(process)
            if process.wait():
                raise TrainingError(f"training {name} with seed {seed} failed: see above")

    with ThreadPoolExecutor(len(devices)) as pool:
        try:
            for _, groups in sorted(ranks.items()):
                waiting = iter(groups.values())  # each thread takes its next group from here
                workers = [pool.submit(train_on, device, waiting) for device in devices]
                for worker in as_completed(workers):
                    worker.result()
        except BaseException:
            list(waiting)  # so that no thread starts another group
            for process in processes:
                process.terminate()
            raise


def rank(row: Experiment) -> int:
    """Return the length of the longest chain of runs that must precede a run of `row`."""
    distillation = row.recipe.distillation
    needed = {row.validated_by, distillation.teacher if distillation else ""} & EXPERIMENTS.keys()
    return max((1 + rank(EXPERIMENTS[name]) for name in needed), default=0)


def write_tables(cards: Path = CARDS, root: Path = ROOT) -> str:
    """Write the documents and curves for the results in `cards`. Return the comparison table."""
    results = read_all(cards)
    for name in results:
        card.write_card(cards / name)
        draw_curves_and_matrices(cards / name)
    reproduced = {name: each for name, each in results.items() if name in REPRODUCED}
    readme = insert_variants((root / "README.md").read_text(encoding="utf-8"))
    texts = {"REPRODUCTION.md": reproduction.document(reproduced), "README.md": readme.encode()}
    replace_files(root, texts)
    claims = to_json(reproduction.judge_all(reproduced))
    replace_files(root / "demo" / "assets", {"claims.json": claims})
    recipes.write_recipes(root / "docs")
    return reproduction.comparison_table(reproduced)


def insert_variants(readme: str) -> str:
    """Return the text `readme` with a new table of variants between the two `MARKERS`."""
    head = ["variant", "validation accuracy", "test accuracy", "parameters", "MACs", "weights"]
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
    block = f"\n{table(head, rows)}\n".join(MARKERS)
    return re.sub(".*?".join(MARKERS), lambda match: block, readme, flags=re.DOTALL)


@one_line_errors()
def main() -> None:
    parser = command_parser("training.reproduce", __doc__)
    default = "default: the report's experiments and the control experiments"
    parser.add_argument("names", nargs="*", metavar="NAME", help=default)
    parser.add_argument("--data-dir", default="data")
    parser.add_argument("--runs-dir", default="runs")
    parser.add_argument("--devices", nargs="+", default=[""], help="for example cuda:0 cuda:1")
    parser.add_argument("--tables-only", action="store_true", help="only write the documents")
    arguments = parser.parse_args()
    for name in set(arguments.names) - EXPERIMENTS.keys():
        parser.error(f"no experiment is called {name!r}; the names are {', '.join(EXPERIMENTS)}")
    if not arguments.tables_only:
        folders = ["--data-dir", arguments.data_dir, "--runs-dir", arguments.runs_dir]
        train_missing(arguments.names or REPRODUCED, folders, arguments.devices)
    print(write_tables())


if __name__ == "__main__":
    main()
