"""docs/recipe.md: the published runs of our own networks.

Each run is a JSON file in docs/runs/, written when it is published; file names give the order.
"""

from pathlib import Path
from typing import TypedDict

from mobilenetv3_cifar.files import replace_files
from training.reports.schema import read_json
from training.reports.text import render


class RecipeRun(TypedDict):
    name: str
    setting: dict[str, str]  # the recipe, and whatever of the network varies between runs
    epochs: int
    split: str  # of the training images, for example "45k/5k"
    seed: int
    device: str
    seconds: float  # of training and validation
    images: int  # trained on, repetitions counted
    validation_accuracy: float  # of the weights as shipped
    history: list[dict[str, float]]  # the rows of history.csv
    commit: str


def write_recipes(docs: Path) -> None:
    """Write docs/recipe.md from docs/runs/, if there are any runs."""
    runs = [read_json(path, RecipeRun) for path in sorted((docs / "runs").glob("*.json"))]
    if runs:
        names = dict.fromkeys(name for run in runs for name in run["setting"])
        values = {name: {run["setting"].get(name, "none") for run in runs} for name in names}
        common = {name: found.pop() for name, found in values.items() if len(found) == 1}
        varied = [name for name in names if name not in common]
        text = render("recipe_template.md", runs=runs, varied=varied, common=common)
        replace_files(docs, {"recipe.md": text})
