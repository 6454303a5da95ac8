"""Record each published run in docs/runs/, and generate docs/recipe.md from these records."""

import json
from pathlib import Path
from typing import Any

from mobilenetv3_cifar.files import replace_files
from training.experiments import Experiment
from training.reports.text import render, to_json


def write_record(
    docs: Path, row: Experiment, metrics: dict[str, Any], history: list[dict[str, float]]
) -> None:
    record = {
        "name": row.name,
        "setting": {name: repr(value) for name, value in row.model.items()} | row.recipe.settings(),
        "epochs": row.epochs,
        "split": row.recipe.split,
        "seed": metrics["seed"],
        **{key: metrics["training"][key] for key in ("device", "commit", "seconds", "images")},
        "validation_accuracy": metrics["validation"]["accuracy"],
        "history": {name: [epoch[name] for epoch in history] for name in history[0]},
    }
    (docs / "runs").mkdir(parents=True, exist_ok=True)
    replace_files(docs / "runs", {f"{row.name}-seed-{metrics['seed']}.json": to_json(record)})


def write_recipes(docs: Path) -> None:
    """Write docs/recipe.md from the records in docs/runs/, if there are any."""
    runs = [json.loads(path.read_text("utf-8")) for path in sorted((docs / "runs").glob("*.json"))]
    if runs:
        names = dict.fromkeys(name for run in runs for name in run["setting"])
        values = {name: {run["setting"].get(name, "none") for run in runs} for name in names}
        common = {name: found.pop() for name, found in values.items() if len(found) == 1}
        varied = [name for name in names if name not in common]
        text = render("recipe_template.md", runs=runs, varied=varied, common=common)
        replace_files(docs, {"recipe.md": text})
