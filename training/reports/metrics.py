"""Metrics of a trained model: counts, scikit-learn's scores, calibration, MACs."""

from typing import Any

import numpy as np
import torch
from sklearn import metrics
from torch import Tensor, nn

from mobilenetv3_cifar import MobileNetV3Cifar
from mobilenetv3_cifar.config import MAX_TEMPERATURE, MIN_TEMPERATURE
from mobilenetv3_cifar.prediction import to_probabilities
from training.loop.validation import correct_and_loss

FALSE_ALARMS = 0.05  # validation pictures that may be called unlike any class
ECE_BINS = 15  # of equal width, over the probability of the predicted class (Guo et al. 2017)


def summarize(logits: Tensor, labels: np.ndarray) -> dict[str, Any]:
    """Counts, accuracy (0-1) and mean cross entropy (natural logarithm, before any temperature)."""
    correct, loss = correct_and_loss(logits, labels)
    total = len(labels)
    return {"correct": correct, "total": total, "accuracy": correct / total, "loss": loss / total}


def measure(model: MobileNetV3Cifar, logits: Tensor, labels: np.ndarray) -> dict[str, Any]:
    """Everything that `metrics.json` says of one split; all fractions 0-1.

    `ece` is that of the probabilities `predict` gives, `ece_untempered` that before the config's
    temperature; `unsure` is the share of pictures under the config's `ood_threshold`. Rows of the
    confusion matrix are true classes, columns predicted ones.
    """
    names, predicted = model.config.labels, logits.argmax(1).numpy()
    probabilities = to_probabilities(model, logits)
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
        "unsure": float(
            (probabilities.amax(1) < (model.config.ood_threshold or 0.0)).double().mean()
        ),
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


def calibration_error(probabilities: Tensor, labels: np.ndarray) -> float:
    """Expected calibration error (Guo et al. 2017): mean gap of confidence and accuracy."""
    confidence, predicted = (part.numpy() for part in probabilities.double().max(dim=1))
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = np.bincount(bins, confidence - (predicted == labels), minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / len(labels))


def fit_temperature(logits: Tensor, labels: np.ndarray) -> float:
    """The temperature that gives these logits the least cross entropy (Guo et al. 2017).

    It stays within the config's bounds: for logits that know nothing, the best would be infinite.
    """
    truth = torch.from_numpy(labels.astype(np.int64))
    log_temperature = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_temperature], line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = nn.functional.cross_entropy(logits.double() / log_temperature.exp(), truth)
        value.backward()
        return value

    optimizer.step(loss)
    fitted = float(log_temperature.detach().exp())
    return round(min(max(fitted, MIN_TEMPERATURE), MAX_TEMPERATURE), 4)


def fit_ood_threshold(probabilities: Tensor) -> float:
    """The top probability that 5 % of these pictures, all of known classes, stay below."""
    return round(float(probabilities.amax(1).double().quantile(FALSE_ALARMS)), 4)


def count_macs(model: MobileNetV3Cifar) -> int:
    """Multiply-accumulates of the convolution and linear layers for one picture.

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
    size = model.config.image_size
    with torch.inference_mode():
        model(torch.zeros(1, 3, size, size))
    for handle in handles:
        handle.remove()
    return total
