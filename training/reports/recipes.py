"""docs/recipe.md: every run from which the recipes of our own networks were chosen.

Each run is a JSON file in docs/runs/, written by `training.publish`; file names give the order.
"""

from pathlib import Path
from typing import NotRequired, TypedDict, cast

from mobilenetv3_cifar.files import replace_files
from training.reports.schema import read_json
from training.reports.text import percent, table

INTRODUCTION = """# How the recipes of our own networks were chosen

Recipes were chosen on validation accuracy alone; the test images chose nothing. Every run is
listed, also those that lost, with the validation accuracy of its final weights: no epoch was
picked. Written by `python -m training.reproduce --tables-only` from the files in `docs/runs/`."""


class RecipeRun(TypedDict):
    name: str
    setting: dict[str, str]  # the recipe, and whatever of the network varies between runs
    epochs: int
    split: str  # of the training images, for example "45k/5k"
    seed: int
    device: str
    seconds: float  # of training and validation
    images: int  # trained on, repetitions counted
    validation_accuracy: float | None  # of the last averaged weights; None without validation
    history: list[dict[str, float]]  # the rows of history.csv
    commit: NotRequired[str]
    note: NotRequired[str]  # what the run was to find out


def read_runs(folder: Path) -> list[RecipeRun]:
    """Every run in `folder`, by file name.

    Raises:
        ResultsError: a file is not valid; the message names it.
    """
    return [cast(RecipeRun, read_json(path, RecipeRun)) for path in sorted(folder.glob("*.json"))]


def write_recipes(docs: Path) -> None:
    """Write docs/recipe.md from docs/runs/, if there are any runs."""
    if runs := read_runs(docs / "runs"):
        replace_files(docs, {"recipe.md": f"{document(runs)}\n".encode()})


def document(runs: list[RecipeRun]) -> str:
    varied = varied_settings(runs)
    common = {name: value for name, value in runs[0]["setting"].items() if name not in varied}
    parts = [INTRODUCTION, "## Runs", runs_table(runs, varied)]
    if common:
        rows = [[f"`{name}`", f"`{value}`"] for name, value in common.items()]
        parts += ["## Settings that all runs share", table(["setting", "value"], rows)]
    hours = sum(run["seconds"] for run in runs) / 3600
    images = sum(run["images"] for run in runs)
    parts.append(f"In total: {hours:.1f} hours for {images:,} images.")
    return "\n\n".join(parts)


def varied_settings(runs: list[RecipeRun]) -> list[str]:
    """The settings whose value is not the same in all runs."""
    every = dict.fromkeys(name for run in runs for name in run["setting"])
    return [name for name in every if len({run["setting"].get(name) for run in runs}) > 1]


def runs_table(runs: list[RecipeRun], varied: list[str]) -> str:
    heads = ["run", "setting", "epochs", "split", "seed", "device", "hours", "images"]
    rows = [
        [
            f"`{run['name']}`" + (f": {run['note']}" if "note" in run else ""),
            ", ".join(f"{name} `{run['setting'].get(name, 'none')}`" for name in varied)
            or "as below",
            str(run["epochs"]),
            run["split"],
            str(run["seed"]),
            run["device"],
            f"{run['seconds'] / 3600:.2f}",
            f"{run['images']:,}",
            "none" if run["validation_accuracy"] is None else percent(run["validation_accuracy"]),
        ]
        for run in runs
    ]
    return table([*heads, "validation accuracy"], rows)
