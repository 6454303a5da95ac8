"""Metrics of a trained model: counts, scikit-learn's scores, calibration, MACs."""

from typing import Any

import numpy as np
import torch
from sklearn import metrics
from torch import Tensor, nn

from mobilenetv3_cifar import MobileNetV3Cifar
from training.loop.validation import Outputs, correct_and_loss
from training.reports.decisions import ood_scores

ECE_BINS = 15  # of equal width, over the probability of the predicted class (Guo et al. 2017)


def summarize(logits: Tensor, labels: np.ndarray) -> dict[str, Any]:
    """Counts, accuracy (0-1) and mean cross entropy (natural logarithm, before any temperature)."""
    correct, loss = correct_and_loss(logits, labels)
    total = len(labels)
    return {"correct": correct, "total": total, "accuracy": correct / total, "loss": loss / total}


def measure(model: MobileNetV3Cifar, outputs: Outputs, labels: np.ndarray) -> dict[str, Any]:
    """Everything that `metrics.json` says of one split; all fractions 0-1.

    `ece` is that of the probabilities `predict` gives, `ece_untempered` that before the config's
    temperature; `unsure` is the fraction of images that are flagged as probably none of the
    classes. Rows of the confusion matrix are true classes, columns predicted ones.
    """
    logits, threshold = outputs.logits, model.config.ood_threshold
    flagged = ood_scores(model, outputs) < (-np.inf if threshold is None else threshold)
    names, predicted = model.config.labels, logits.argmax(1).numpy()
    probabilities = (logits / model.config.temperature).softmax(dim=-1)
    classes = range(len(names))
    per_class = metrics.precision_recall_fscore_support(
        labels, predicted, labels=classes, zero_division=0
    )
    macro = [float(np.mean(column)) for column in per_class[:3]]
    top5 = metrics.top_k_accuracy_score(labels, logits.numpy(), k=5, labels=list(classes))
    return summarize(logits, labels) | {
        "precision_macro": macro[0],
        "recall_macro": macro[1],
        "f1_macro": macro[2],
        "top5_accuracy": float(top5),
        "ece": calibration_error(probabilities, labels),
        "unsure": float(flagged.mean()),
        "ece_untempered": calibration_error(logits.softmax(1), labels),
        "per_class": {
            name: {
                "precision": float(precision),
                "recall": float(recall),
                "f1": float(f1),
                "support": int(support),
            }
            for name, precision, recall, f1, support in zip(names, *per_class, strict=True)
        },
        "confusion_matrix": metrics.confusion_matrix(labels, predicted, labels=classes).tolist(),
    }


def flip_averaged(logits: Tensor, mirrored: Tensor, labels: np.ndarray) -> dict[str, Any]:
    """Counts and accuracy where an image's probabilities are averaged with its mirror image's."""
    predicted = (logits.softmax(1) + mirrored.softmax(1)).argmax(1).numpy()
    correct = int((predicted == labels).sum())
    return {"correct": correct, "total": len(labels), "accuracy": correct / len(labels)}


def calibration_error(probabilities: Tensor, labels: np.ndarray) -> float:
    """Expected calibration error (Guo et al. 2017): mean gap of confidence and accuracy."""
    confidence, predicted = (part.numpy() for part in probabilities.double().max(dim=1))
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = np.bincount(bins, confidence - (predicted == labels), minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / len(labels))


def count_macs(model: MobileNetV3Cifar) -> int:
    """Multiply-accumulates of the convolution and linear layers for one image.

    Output positions times weight elements; no bias, batch norm or activation.
    """
    total = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        positions = output.shape[2] * output.shape[3] if output.ndim == 4 else 1
        assert isinstance(module.weight, Tensor)
        total += positions * module.weight.numel()

    counted = [part for part in model.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    handles = [part.register_forward_hook(count) for part in counted]
    size, device = model.config.image_size, next(model.parameters()).device
    with torch.inference_mode():
        model(torch.zeros(1, 3, size, size, device=device))
    for handle in handles:
        handle.remove()
    return total
