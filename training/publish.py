"""From a finished run to a model folder, and from there to the Hub.

    python -m training.publish small-dropout0.7-epochs4 --repo-id owner/name --dry-run

A folder under `model_cards/` is a Hub repository exactly as it is pushed.
"""

import argparse
import csv
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from mobilenetv3_cifar import MobileNetV3Cifar, MobileNetV3CifarError, hub
from mobilenetv3_cifar.variants import get_variant
from training import card, checkpoint, figures
from training.checkpoint import CheckpointError, State
from training.data import Cifar10
from training.evaluate import (
    count_macs,
    fit_temperature,
    fit_unsure_below,
    measure,
    split_logits,
    summarize,
)
from training.experiments import EXPERIMENTS, Experiment

HALF_TOLERANCE = 0.0005  # validation accuracy that half precision may cost or gain


def make_model_folder(run: Path, experiment: Experiment, data: Cifar10, cards: Path) -> Path:
    """Measure a finished run and write `cards/NAME/`, or its `seeds/SEED.json` for another seed.

    Raises:
        CheckpointError: the run has no whole checkpoint, or has not ended.
    """
    found = checkpoint.read(run)
    if found is None or len(found[1].history) < experiment.epochs:
        raise CheckpointError(f"the run in {run} has not ended")
    tensors, state, settings, _ = found
    with tempfile.TemporaryDirectory(dir=run) as staging:
        folder = Path(staging) / experiment.name
        exact = checkpoint.model_tensors(tensors)
        weights, valid_logits = save_weights(folder, exact, experiment, data, state)
        model = MobileNetV3Cifar.from_pretrained(folder)
        logits = {
            name: split_logits(model, getattr(data, name), name) for name in ("train", "test")
        }
        metrics = {
            "name": experiment.name,
            "seed": settings["seed"],
            "epochs": len(state.history),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "macs": count_macs(model),
            "weights": weights,
            "train": summarize(logits["train"], data.train.labels),
            "validation": measure(model, valid_logits, data.validation.labels),
            "test": measure(model, logits["test"], data.test.labels),
            "report": vars(experiment.report) if experiment.report else None,
            "training": provenance_of(state) | {"data_sha256": data.sha256},
        }
        if metrics["seed"] != 0:
            target = cards / experiment.name / "seeds" / f"{metrics['seed']}.json"
            target.parent.mkdir(parents=True, exist_ok=True)
            write_json(target, metrics)
            return target
        write_json(folder / "metrics.json", metrics)
        write_history(folder / "history.csv", state.history)
        draw_figures(folder, model, data, logits["test"].argmax(1).numpy())
        card.write_card(folder)
        return place(folder, cards / experiment.name)


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
    arguments: dict[str, Any] = {"size": experiment.size, "dropout": experiment.dropout}
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
    arguments["unsure_below"] = fit_unsure_below(tempered)
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


def provenance_of(state: State) -> dict[str, Any]:
    """Where and with what a run was made; all its commits, if it was resumed under another."""
    last = state.environments[-1]
    commits = dict.fromkeys(environment["commit"] for environment in state.environments)
    return {
        "seconds": sum(row["seconds"] for row in state.history),
        "device": last["device"],
        "torch": last["torch"],
        "commit": ", ".join(commits),
    }


def draw_figures(
    folder: Path, model: MobileNetV3Cifar, data: Cifar10, predicted: np.ndarray
) -> None:
    """All pictures of a model folder; `predicted` are the classes it gives the test pictures."""
    draw_curves_and_matrices(folder)
    figures.batch(data.train, model.config.labels, folder / "batch.png")
    figures.activation_maps(model, data.test, predicted, folder / "activation_maps.png")


def draw_curves_and_matrices(folder: Path) -> None:
    """The figures that need no more than the folder's own files."""
    metrics = card.read_json(folder / "metrics.json")
    labels = tuple(metrics["test"]["per_class"])
    matrices = {
        f"{split} pictures": metrics[split]["confusion_matrix"] for split in ("validation", "test")
    }
    figures.confusion_matrices(matrices, labels, folder / "confusion_matrix.png")
    history = card.read_history(folder / "history.csv")
    figures.curves(history, metrics["name"], folder / "curves.png")


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_bytes(to_json(content))


def to_json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()


def write_history(path: Path, history: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)


def place(staged: Path, target: Path) -> Path:
    """Move a new folder into place; copy into an existing one with config.json last.

    Until the config names the new weights, a model folder is refused as incomplete.
    """
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        return Path(shutil.move(staged, target))
    for path in sorted(staged.iterdir(), key=lambda path: path.name == "config.json"):
        shutil.copyfile(path, target / path.name)
    (target / hub.INT8_FILE).unlink(missing_ok=True)  # made of the weights that were there before
    return target


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.publish", description=__doc__)
    parser.add_argument("name", choices=EXPERIMENTS, metavar="NAME", help=", ".join(EXPERIMENTS))
    parser.add_argument("--repo-id", required=True, metavar="OWNER/NAME")
    parser.add_argument("--dry-run", action="store_true", help="only list what would be sent")
    arguments = parser.parse_args()
    try:
        folder = get_variant(arguments.name).folder
        if arguments.dry_run:
            print(f"to {arguments.repo_id}, in one commit:")
            for name in hub.files_to_push(folder):
                print(f"  {name}  {(folder / name).stat().st_size:,} bytes")
        else:
            print(hub.push_folder(folder, arguments.repo_id))
    except MobileNetV3CifarError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
