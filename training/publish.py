"""From a finished run to a model folder, and from there to the Hub.

    python -m training.publish small-dropout0.7-epochs4 --repo-id owner/name --dry-run

A folder under `model_cards/` is a Hub repository exactly as it is pushed.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from mobilenetv3_cifar import MobileNetV3Cifar, hub, push
from mobilenetv3_cifar.files import replace_files
from mobilenetv3_cifar.folder import read_config
from mobilenetv3_cifar.variants import get_variant
from training.commands import one_line_errors
from training.dataset.cifar10 import Cifar10
from training.errors import CheckpointError
from training.experiments import EXPERIMENTS, Experiment
from training.loop import checkpoint
from training.loop.checkpoint import State
from training.loop.run_folder import to_csv
from training.loop.validation import split_logits
from training.recipe import Recipe
from training.reports import card, figures, measured
from training.reports.metrics import (
    count_macs,
    fit_ood_threshold,
    fit_temperature,
    measure,
    summarize,
)

HALF_TOLERANCE = 0.0005  # validation accuracy that half precision may cost or gain


def make_model_folder(
    run: Path, experiment: Experiment, data: Cifar10, cards: Path, command: str
) -> Path:
    """Measure a finished run and write `cards/NAME/`, or its `seeds/SEED.json` for another seed.

    `command` is what made the run: that of a longer one, where this one is its beginning.

    Raises:
        CheckpointError: the run has no whole checkpoint, or has not ended.
    """
    found = checkpoint.read(run)
    if found is None or len(found[1].history) < experiment.epochs:
        raise CheckpointError(f"the run in {run} has not ended")
    tensors, state, settings, _ = found
    target = cards / experiment.name
    with tempfile.TemporaryDirectory(dir=run) as staging:
        folder = Path(staging) / experiment.name
        exact = checkpoint.final_weights(tensors)
        weights, valid_logits = save_weights(folder, exact, experiment, data, state)
        model = MobileNetV3Cifar.from_pretrained(folder)
        test_logits = split_logits(model, data.test, "test")
        metrics = {
            "name": experiment.name,
            "seed": settings["seed"],
            "epochs": len(state.history),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "macs": count_macs(model),
            "weights": weights | {"sha256": read_config(folder)[1]},
            "train": summarize(split_logits(model, data.train, "train"), data.train.labels),
            "validation": measure(model, valid_logits, data.validation.labels),
            "test": measure(model, test_logits, data.test.labels),
            "report": vars(experiment.report) if experiment.report else None,
            "training": {"command": command} | provenance_of(state, settings),
        }
        if metrics["seed"] != 0:
            return add_seed(target, metrics)
        folder_files = {"metrics.json": to_json(metrics), "history.csv": to_csv(state.history)}
        replace_files(folder, folder_files)
        draw_figures(folder, model, experiment.recipe, data, test_logits.argmax(1).numpy())
        place(folder, target)
    card.write_card(target)
    return target


def add_seed(folder: Path, metrics: dict[str, Any]) -> Path:
    """Add another seed's figures to a model folder, and to its card if that is there already."""
    target = folder / "seeds" / f"{metrics['seed']}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    replace_files(target.parent, {target.name: to_json(metrics)})
    if measured.is_published(folder):
        card.write_card(folder)
    return target


def save_weights(
    folder: Path,
    exact: dict[str, Tensor],
    experiment: Experiment,
    data: Cifar10,
    state: State,
) -> tuple[dict[str, Any], Tensor]:
    """Write config and weights, in half precision unless the validation accuracy moves.

    Temperature and threshold are fitted on the validation pictures with the weights as shipped;
    their logits are returned, since neither changes them.
    """
    arguments: dict[str, Any] = dict(experiment.model)
    weights, precision = round_to_half(exact), "float16, batch-norm statistics float32"
    logits = validation_logits(weights, arguments, data)
    before = state.history[-1]["valid_accuracy"]
    change = summarize(logits, data.validation.labels)["accuracy"] - before
    if abs(change) > HALF_TOLERANCE:
        weights, precision = exact, "float32"
        logits = validation_logits(weights, arguments, data)
        change = summarize(logits, data.validation.labels)["accuracy"] - before
    arguments["temperature"] = fit_temperature(logits, data.validation.labels)
    tempered = (logits / arguments["temperature"]).softmax(1)
    arguments["ood_threshold"] = fit_ood_threshold(tempered)
    build_model(weights, arguments).save_pretrained(folder)
    return {"precision": precision, "validation_change": change}, logits


def validation_logits(
    weights: dict[str, Tensor], arguments: dict[str, Any], data: Cifar10
) -> Tensor:
    return split_logits(build_model(weights, arguments), data.validation, "validation")


def build_model(weights: dict[str, Tensor], arguments: dict[str, Any]) -> MobileNetV3Cifar:
    model = MobileNetV3Cifar(**arguments).eval()
    model.load_state_dict(weights, strict=True)
    return model


def round_to_half(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """All but the batch-norm statistics, whose range is wide, rounded to float16 values."""
    return {
        name: value.half().float() if value.is_floating_point() and "running" not in name else value
        for name, value in weights.items()
    }


def provenance_of(state: State, settings: dict[str, Any]) -> dict[str, Any]:
    """Where and with what a run was made: of what changed when it was resumed, every value."""
    return {
        "seconds": sum(row["seconds"] for row in state.history),
        "precision": settings["precision"].strip("'"),
        **{key: settings[key] for key in ("processes", "data_sha256")},
        **{
            key: ", ".join(dict.fromkeys(each[key] for each in state.environments))
            for key in ("device", "torch", "commit")
        },
    }


def draw_figures(
    folder: Path, model: MobileNetV3Cifar, recipe: Recipe, data: Cifar10, predicted: np.ndarray
) -> None:
    """All pictures of a model folder; `predicted` are the classes it gives the test pictures."""
    draw_curves_and_matrices(folder)
    figures.batch(data.train, model.config, recipe, folder / "batch.png")
    figures.activation_maps(model, data.test, predicted, folder / "activation_maps.png")


def draw_curves_and_matrices(folder: Path) -> None:
    """The figures that need no more than the folder's own files."""
    variant = measured.read(folder)
    metrics = variant.metrics
    labels = tuple(metrics["test"]["per_class"])
    matrices = {
        f"{split} pictures": metrics[split]["confusion_matrix"] for split in ("validation", "test")
    }
    figures.confusion_matrices(matrices, labels, folder / "confusion_matrix.png")
    how = "augmented, with dropout" if variant.row.dropout else "augmented"
    figures.curves(variant.history, metrics["name"], f"training, {how}", folder / "curves.png")


def to_json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()


def place(staged: Path, target: Path) -> None:
    """Move a new folder into place; replace the files of an existing one, config.json last.

    Until the config names the new weights, a model folder is refused as incomplete.
    """
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(staged, target)
        return
    ordered = sorted(staged.iterdir(), key=lambda path: path.name == "config.json")
    replace_files(target, {path.name: path.read_bytes() for path in ordered})
    (target / hub.INT8_FILE).unlink(missing_ok=True)  # made of the weights that were there before


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.publish", description=__doc__)
    parser.add_argument("name", choices=EXPERIMENTS, metavar="NAME", help=", ".join(EXPERIMENTS))
    parser.add_argument("--repo-id", required=True, metavar="OWNER/NAME")
    parser.add_argument("--dry-run", action="store_true", help="only list what would be sent")
    arguments = parser.parse_args()
    with one_line_errors():
        folder = get_variant(arguments.name).folder
        if arguments.dry_run:
            hub.check_repo_id(arguments.repo_id)
            print(f"to {arguments.repo_id}, in one commit:")
            for name in push.files_to_push(folder):
                print(f"  {name}  {(folder / name).stat().st_size:,} bytes")
        else:
            print(push.push_folder(folder, arguments.repo_id))


if __name__ == "__main__":
    main()
