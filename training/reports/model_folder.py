"""Make a model folder from a finished run: weights, metrics, figures and card."""

import json
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mobilenetv3_cifar import MobileNetV3Cifar
from mobilenetv3_cifar.files import replace_files
from mobilenetv3_cifar.folder import create_folder
from mobilenetv3_cifar.variants import CONFIG_FILE, HISTORY_FILE, INT8_FILE, METRICS_FILE, ONNX_FILE
from training.dataset.cifar10 import Cifar10
from training.errors import TrainingError
from training.experiments import EXPERIMENTS, Experiment
from training.loop import checkpoint
from training.loop.checkpoint import State
from training.loop.losses import from_run
from training.loop.run_folder import check_settings, to_columns, to_csv
from training.loop.validation import split_logits
from training.reports import card, figures, recipes
from training.reports.metrics import count_macs, flip_averaged, measure, robustness, summarize
from training.reports.schema import check
from training.reports.shipped_weights import save_weights
from training.reports.text import to_json


def make_model_folder(
    run: Path, row: Experiment, data: Cifar10, cards: Path, command: str, device: torch.device
) -> Path:
    """Measure the finished run in folder `run`, and write the model folder `cards/NAME/`.

    NAME is `row.name`. For a seed other than 0, `add_seed` adds one file to the folder instead. For
    our own networks, a record is also written to `docs/runs/`. For an ablation, only the record is
    written. `command` started the run, or a longer run that begins with it.
    """
    newest = checkpoint.read(run)
    if newest is None or len(newest[1].history) < row.epochs:
        raise TrainingError(f"the run in {run} has not ended")
    tensors, state, settings, _ = newest
    training = {
        "command": command,
        "images": len(data.train) * len(state.history),
        **provenance_of(state, settings),
    }
    twin, history = load_twin(run, row), state.history
    if twin:
        # The network was trained on the validation images, so use the twin's validation results.
        validated = ({key: epoch[key] for key in epoch if "valid" in key} for epoch in twin.history)
        history = [mine | theirs for mine, theirs in zip(history, validated, strict=True)]
    docs, target = cards.parent / "docs", cards / row.name
    record = partial(recipes.write_record, docs, row, settings["seed"], training, history)
    if row.kind == "ablation":
        return record(history[-1]["valid_accuracy"])
    unseen = twin.network.to(device) if twin else None
    kept = run / METRICS_FILE  # exists if an earlier call failed after measuring
    with tempfile.TemporaryDirectory(dir=run) as staging:
        folder = Path(staging) / row.name
        weights = save_weights(folder, checkpoint.final_weights(tensors), row, data, device, unseen)
        values = json.loads((folder / CONFIG_FILE).read_bytes())
        weights |= {"sha256": values["weights_sha256"], "config_sha256": values["config_sha256"]}
        model = MobileNetV3Cifar.from_pretrained(folder, device=device)
        test = split_logits(model, data.test, "test")
        metrics = json.loads(kept.read_bytes()) if kept.exists() else {}
        if metrics.get("weights") != weights:
            metrics = {
                "name": row.name,
                "kind": row.kind,
                "seed": settings["seed"],
                "epochs": len(state.history),
                "parameters": sum(parameter.numel() for parameter in model.parameters()),
                "macs": count_macs(model, model.config.image_size),
                "weights": weights,
                **measurements(model, unseen or model, row, data, test),
                "report": row.report,
                "training": training,
            }
            check(metrics, run)
            replace_files(run, {METRICS_FILE: to_json(metrics)})
        if row.kind == "own":
            record(metrics["validation"]["accuracy"])
        if metrics["seed"] != 0:
            added = add_seed(target, metrics, history)
            kept.unlink()
            return added
        replace_files(folder, {METRICS_FILE: to_json(metrics), HISTORY_FILE: to_csv(history)})
        figures.draw_curves_and_matrices(folder)
        figures.batch(data.train, model.config, row.recipe, folder / "batch.png")
        predicted = test.argmax(1).numpy()
        figures.activation_maps(model, data.test, predicted, folder / "activation_maps.png")
        install_folder(folder, target)
    card.write_card(target)
    kept.unlink()
    return target


class Twin(NamedTuple):
    network: MobileNetV3Cifar
    history: list[dict[str, float]]


def load_twin(run: Path, row: Experiment) -> Twin | None:
    """Load the twin of `row`: the run of the experiment `row.validated_by` with the same seed.

    Unlike the network of `row`, the twin was not trained on the validation images. Return None if
    `row.validated_by` is empty.
    """
    if not row.validated_by:
        return None
    folder = run.parent.parent / row.validated_by / run.name
    try:
        network = from_run(folder, ended=True)
        _, state, began, _ = checkpoint.read(folder)  # type: ignore[misc]
        recipe = replace(row.recipe, split=EXPERIMENTS[row.validated_by].recipe.split)
        settings = recipe.settings() | {"epochs": row.epochs}
        check_settings(folder, {key: began.get(key) for key in settings}, settings)
        return Twin(network, state.history)
    except TrainingError as error:
        needed = f"{row.name} needs the finished run of {row.validated_by}"
        raise TrainingError(f"{needed}: {error}") from error


def measurements(
    model: MobileNetV3Cifar, twin: MobileNetV3Cifar, row: Experiment, data: Cifar10, test: Tensor
) -> dict[str, Any]:
    """Measure `twin` on the validation images, and `model` on the training and test images.

    `test` contains the logits that `model` computes for the test images.
    """
    validation = split_logits(twin, data.validation, "validation")
    measured: dict[str, Any] = {
        "train": summarize(split_logits(model, data.train, "train"), data.train.labels),
        "validation": measure(model.config, validation, data.validation.labels),
        "test": measure(model.config, test, data.test.labels),
    }
    if row.validated_by:
        measured["validation"]["run"] = row.validated_by
    if row.kind == "own":
        mirrored = split_logits(model, data.test, "test, mirrored", flip=True)
        measured["flip_averaged"] = flip_averaged(test, mirrored, data.test.labels)
        measured["corruptions"] = robustness(model, data.test)
    return measured


def add_seed(folder: Path, metrics: dict[str, Any], history: list[dict[str, float]]) -> Path:
    """Write `seeds/SEED.json` in `folder`. If `folder` has a metrics.json, rewrite the card."""
    target = folder / "seeds" / f"{metrics['seed']}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    content = to_json(metrics | {"history": to_columns(history)})
    replace_files(target.parent, {target.name: content})
    if (folder / METRICS_FILE).exists():
        card.write_card(folder)
    return target


def provenance_of(state: State, settings: dict[str, Any]) -> dict[str, Any]:
    """Return a run's duration, settings, devices, PyTorch versions and commits."""
    keys, used = ("device", "torch", "commit"), state.environments
    return {
        "seconds": sum(row["seconds"] for row in state.history),
        "precision": settings["precision"].strip("'"),
        "processes": settings["processes"],
        "data_sha256": settings["data_sha256"],
        **{key: ", ".join(dict.fromkeys(str(each[key]) for each in used)) for key in keys},
    }


def install_folder(staged: Path, target: Path) -> None:
    """Copy the files in `staged` to the folder `target`.

    If the weights stay the same, keep the score that `training.outliers` fitted to them. If the
    config stays the same too, keep the target's ONNX files and their measurements. Otherwise, first
    delete the target's ONNX files, because they are exports of the old network.
    The new config.json is copied after the weights. In between, loading fails, because the hash in
    the old config.json does not match the new weights. The new metrics.json is copied last, because
    a folder without this file is not a variant.
    """
    files = {path.name: path.read_bytes() for path in staged.iterdir()}
    old = {path.name: path.read_bytes() for path in target.glob("*.json")}
    former, before = (parse(old.get(name, b"")) for name in (CONFIG_FILE, METRICS_FILE))
    config, metrics = (parse(files[name]) for name in (CONFIG_FILE, METRICS_FILE))
    fitted = "outliers" in before.keys() - metrics.keys()
    whole = before.get("weights", {}).get("config_sha256") == former.get("config_sha256")
    if fitted and whole and differ_only_in_score(former, config):
        files[CONFIG_FILE] = old[CONFIG_FILE]
        metrics |= {key: before[key] for key in ("outliers", "weights")}
        for split in ("validation", "test"):
            metrics[split]["flagged"] = before[split]["flagged"]
    if (target / ONNX_FILE).exists() and old.get(CONFIG_FILE) == files[CONFIG_FILE]:
        metrics |= {key: before[key] for key in ("int8", "latency") if key in before}
    else:
        for name in (ONNX_FILE, INT8_FILE):
            (target / name).unlink(missing_ok=True)
    files[METRICS_FILE] = to_json(metrics)
    for name in (CONFIG_FILE, METRICS_FILE):  # written last
        files[name] = files.pop(name)
    write = replace_files if target.exists() else create_folder
    write(target, files)


def parse(content: bytes) -> dict[str, Any]:
    """Parse a JSON object. Return an empty dict if `content` is damaged."""
    try:
        return json.loads(content)
    except ValueError:
        return {}


def differ_only_in_score(*configs: dict[str, Any]) -> bool:
    """Return whether the configs, including the hash of the weights, differ only in the score."""
    first, second = (
        {key: value for key, value in config.items() if not key.startswith(("ood_", "config_"))}
        for config in configs
    )
    return first == second
