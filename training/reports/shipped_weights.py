"""Write the weights and the config of a model folder."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import optimize
from torch import Tensor

from mobilenetv3_cifar import MobileNetV3Cifar, ood
from mobilenetv3_cifar.config import MAX_TEMPERATURE, MIN_TEMPERATURE, Config
from training.dataset.cifar10 import Cifar10
from training.experiments import Experiment
from training.loop.losses import build_network
from training.loop.validation import split_logits, split_outputs
from training.reports.metrics import summarize

HALF_TOLERANCE = 0.001  # the largest change of validation accuracy that half precision may cause
FLAGGED = 0.05  # fraction of the validation images that the threshold should flag


def save_weights(
    folder: Path,
    weights: dict[str, Tensor],
    row: Experiment,
    data: Cifar10,
    device: torch.device,
    twin: MobileNetV3Cifar | None,
) -> dict[str, Any]:
    """Write weights and config. Return `precision` and `validation_change` (`schema.Weights`).

    The weights are rounded to float16 if this changes validation accuracy by at most
    HALF_TOLERANCE. The temperature and the threshold in the config are fitted on the validation
    images. If the network was trained on these images, the accuracies and the fits are those of
    `twin` instead. Accuracies are computed in float32, even for rounded weights.
    """

    def accuracy(weights: dict[str, Tensor]) -> float:
        logits = split_logits(build_network(row, weights).to(device), data.validation, "validation")
        return summarize(logits, data.validation.labels)["accuracy"]

    unseen = twin.state_dict() if twin else weights
    change, precision = accuracy(round_to_half(unseen)) - accuracy(unseen), "float32"
    if abs(change) <= HALF_TOLERANCE:
        weights, precision = round_to_half(weights), "float16, batch-norm statistics float32"
    else:
        change = 0.0
    model = build_network(row, weights).to(device)
    model.config = fit_decisions(twin or model, data)
    model.save_pretrained(folder)
    return {"precision": precision, "validation_change": change}


def round_to_half(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Round all weights to float16 values, except batch-norm statistics, whose range is wide."""
    return {
        name: value.half().float() if value.is_floating_point() and "running" not in name else value
        for name, value in weights.items()
    }


def fit_decisions(model: MobileNetV3Cifar, data: Cifar10) -> Config:
    """Return `model`'s config with a temperature and threshold fitted on the validation images."""
    logits, features = split_outputs(model, data.validation, "validation")
    temperature = fit_temperature(logits, data.validation.labels)
    config = dataclasses.replace(model.config, temperature=temperature)
    return fit_threshold(config, logits, features)


def fit_threshold(config: Config, logits: Tensor, features: Tensor) -> Config:
    """Return `config` with a threshold that flags the fraction FLAGGED of the given images."""
    scores = ood.score(np, config, logits.numpy(), features.numpy()).astype(np.float64)
    threshold = float(f"{np.quantile(scores, FLAGGED):.6g}")
    return dataclasses.replace(config, ood_threshold=threshold)


def fit_temperature(logits: Tensor, labels: np.ndarray) -> float:
    """Return the temperature at which `logits` have the lowest cross entropy (Guo et al. 2017).

    The search is bounded, because the best temperature for uninformative logits is infinite.
    """

    def loss(log_temperature: float) -> float:
        return summarize(logits.double() / math.exp(log_temperature), labels)["loss"]

    bounds = math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE)
    fitted = optimize.minimize_scalar(loss, bounds=bounds, options={"xatol": 1e-7}).x
    return round(math.exp(fitted), 4)
