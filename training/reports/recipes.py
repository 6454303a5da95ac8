"""Record training runs in docs/runs/, and generate docs/recipe.md from these records."""

import json
from pathlib import Path
from typing import Any

from mobilenetv3_cifar.files import replace_files
from mobilenetv3_cifar.variants import list_variants
from training.experiments import Experiment
from training.loop.run_folder import to_columns
from training.reports.text import render, to_json

GOALS = {"large-cifar32": (0.955, 0.96), "small-cifar32": (0.94, 0.945)}  # (goal, ideal goal)


def write_record(
    docs: Path,
    row: Experiment,
    seed: int,
    training: dict[str, Any],
    history: list[dict[str, float]],
    validation_accuracy: float,
) -> Path:
    """Write the record of a run, and return its path. `training` is a `schema.Training`."""
    record = {
        "name": row.name,
        "kind": row.kind,
        "setting": {name: repr(value) for name, value in row.model.items()} | row.recipe.settings(),
        "epochs": row.epochs,
        "split": row.recipe.split,
        "seed": seed,
        **{key: training[key] for key in ("device", "commit", "seconds", "images")},
        "validation_accuracy": validation_accuracy,
        "history": to_columns(history),
    }
    path = docs / "runs" / f"{row.name}-seed-{seed}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_files(path.parent, {path.name: to_json(record)})
    return path


def write_recipes(docs: Path) -> None:
    """Write docs/recipe.md from the records in docs/runs/, if there are any."""
    records = {path: json.loads(path.read_text("utf-8")) for path in (docs / "runs").glob("*.json")}
    tested = {each.name: each.test_accuracy for each in list_variants()}
    runs = [
        # The shipped network's record is NAME-seed-0.json. Other records may have the same "name".
        run | {"shipped": run["name"] in tested and path.stem == f"{run['name']}-seed-0"}
        for path, run in sorted(records.items())
    ]
    if runs:
        ablations = [run for run in runs if run.get("kind") == "ablation"]
        text = render(
            "recipe_template.md",
            runs=compare([run for run in runs if run not in ablations]),
            ablations=compare(ablations),
            goals=[(name, *GOALS[name], tested[name]) for name in GOALS if name in tested],
        )
        replace_files(docs, {"recipe.md": text})


def compare(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return `runs`, the names of the settings in which they differ, and their common settings."""
    names = dict.fromkeys(name for run in runs for name in run["setting"])
    values = {name: {run["setting"].get(name, "none") for run in runs} for name in names}
    common = {name: each.pop() for name, each in values.items() if len(each) == 1}
    return {
        "runs": runs,
        "varied": [name for name in names if name not in common],
        "common": common,
    }
