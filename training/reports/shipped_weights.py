"""The weights of a model folder: as trained, or in half precision where that changes nothing."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mobilenetv3_cifar import MobileNetV3Cifar
from training.dataset.cifar10 import Cifar10
from training.experiments import Experiment
from training.loop.validation import split_logits
from training.reports.decisions import fit_decisions, with_decisions
from training.reports.metrics import summarize

HALF_TOLERANCE = 0.0005  # validation accuracy that half precision may cost or gain


def save_weights(
    folder: Path,
    exact: dict[str, Tensor],
    experiment: Experiment,
    data: Cifar10,
    device: torch.device,
    twin: MobileNetV3Cifar | None,
) -> dict[str, Any]:
    """Write config and weights, in half precision unless the validation accuracy moves.

    Temperature and threshold are fitted on the validation images, with the weights as shipped, or
    with those of the twin that did not train on them. Both precisions are measured in float32.
    """

    def accuracy(weights: dict[str, Tensor]) -> float:
        model = build_model(weights, experiment.model).to(device)
        logits = split_logits(model, data.validation, "validation")
        return summarize(logits, data.validation.labels)["accuracy"]

    weights, precision = round_to_half(exact), "float16, batch-norm statistics float32"
    before = accuracy(exact)
    change = accuracy(weights) - before
    if abs(change) > HALF_TOLERANCE:
        weights, precision, change = exact, "float32", 0.0
    model = build_model(weights, experiment.model).to(device)
    config = fit_decisions(twin or model, experiment.ood_score, data)
    with_decisions(model, config, data).save_pretrained(folder)
    return {"precision": precision, "validation_change": change}


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
