"""Measure a model: scores per class, calibration, robustness and multiply-accumulates (MACs)."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter
from sklearn import metrics
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mobilenetv3_cifar import MobileNetV3Cifar, ood
from mobilenetv3_cifar.config import Config
from training.dataset.cifar10 import Split
from training.loop.validation import correct_and_loss, split_logits
from training.reports.schema import Summary

ECE_BINS = 15  # number of equally wide bins of the confidence, from 0 to 1 (Guo et al. 2017)


def summarize(logits: Tensor, labels: np.ndarray) -> Summary:
    """Compute counts, accuracy (0 to 1) and mean cross entropy (in nats, at temperature 1)."""
    correct, loss = correct_and_loss(logits, labels)
    total = len(labels)
    return {"correct": correct, "total": total, "accuracy": correct / total, "loss": loss / total}


def measure(
    config: Config, logits: Tensor, labels: np.ndarray, features: Tensor | None = None
) -> dict[str, Any]:
    """Compute the `schema.SplitMetrics` of N images from their logits (N, C) and labels (N,).

    `features` (N, F) are the pooled features, which only the score "linear" needs.
    """
    names, predicted = config.labels, logits.argmax(1).numpy()
    probabilities = (logits / config.temperature).softmax(dim=-1)
    classes = list(range(len(names)))
    per_class = metrics.precision_recall_fscore_support(
        labels, predicted, labels=classes, zero_division=0
    )
    top5 = metrics.top_k_accuracy_score(labels, logits.numpy(), k=5, labels=classes)
    return {
        **summarize(logits, labels),
        "precision_macro": float(per_class[0].mean()),
        "recall_macro": float(per_class[1].mean()),
        "f1_macro": float(per_class[2].mean()),
        "top5_accuracy": float(top5),
        "ece": calibration_error(probabilities, labels),
        "flagged": flagged(config, logits, features),
        "ece_untempered": calibration_error(logits.softmax(1), labels),
        "per_class": {
            name: dict(zip(("precision", "recall", "f1", "support"), scores, strict=True))
            for name, *scores in zip(names, *(each.tolist() for each in per_class), strict=True)
        },
        "confusion_matrix": metrics.confusion_matrix(labels, predicted, labels=classes).tolist(),
    }


def flagged(config: Config, logits: Tensor, features: Tensor | None) -> float:
    """Return the fraction of images that are flagged as probably showing none of the classes."""
    if config.ood_threshold is None:
        return 0.0
    scores = ood.score(np, config, logits.numpy(), None if features is None else features.numpy())
    return float((scores < config.ood_threshold).mean())


def flip_averaged(logits: Tensor, mirrored: Tensor, labels: np.ndarray) -> dict[str, Any]:
    """Compute the `schema.Counts` for the mean probabilities of each image and its mirror image.

    `mirrored` contains the logits of the mirror images.
    """
    predicted = (logits.softmax(1) + mirrored.softmax(1)).argmax(1).numpy()
    correct = int((predicted == labels).sum())
    return {"correct": correct, "total": len(labels), "accuracy": correct / len(labels)}


def calibration_error(probabilities: Tensor, labels: np.ndarray) -> float:
    """Return the expected calibration error (Guo et al. 2017).

    Images are grouped into bins by confidence, the probability of the predicted class. The error is
    the mean of |mean confidence - accuracy| over the bins, weighted by the number of images in each
    bin.
    """
    confidence, predicted = (part.numpy() for part in probabilities.double().max(dim=1))
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = np.bincount(bins, confidence - (predicted == labels), minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / len(labels))


@torch.no_grad()
def count_macs(network: nn.Module, size: int) -> int:
    """Count the multiply-accumulates of the convolution and linear layers, without biases.

    The count is for one image of `size` x `size` pixels.
    """
    device = next(network.parameters()).device
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, size, size, device=device))
    return int(counter.get_total_flops()) // 2


def gaussian_noise(image: Image.Image, level: float, random: np.random.Generator) -> Image.Image:
    noisy = np.asarray(image) + 255 * level * random.standard_normal((image.height, image.width, 3))
    return Image.fromarray(noisy.round().clip(0, 255).astype(np.uint8))


def gaussian_blur(image: Image.Image, level: float, random: np.random.Generator) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(level))


def low_contrast(image: Image.Image, level: float, random: np.random.Generator) -> Image.Image:
    pixels = np.asarray(image).astype(float)
    mean = pixels.mean(axis=(0, 1))
    return Image.fromarray((mean + level * (pixels - mean)).round().astype(np.uint8))


def jpeg(image: Image.Image, level: float, random: np.random.Generator) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(level))
    return Image.open(buffer).convert("RGB")


Corruption = Callable[[Image.Image, float, np.random.Generator], Image.Image]
# Values of `level` at severities 1, 2 and 3. CIFAR-10-C has other levels and is not comparable.
CORRUPTIONS: dict[Corruption, tuple[float, ...]] = {
    gaussian_noise: (0.04, 0.08, 0.12),  # standard deviation for pixel values in [0, 1]
    gaussian_blur: (0.5, 0.8, 1.2),  # standard deviation in pixels
    low_contrast: (0.6, 0.4, 0.2),  # factor for the difference of a pixel from the mean colour
    jpeg: (60, 30, 15),  # Pillow's JPEG quality
}


def corrupt(images: np.ndarray, corruption: Corruption, level: float) -> np.ndarray:
    """Corrupt uint8 images (N, 32, 32, 3) with a fixed seed."""
    random = np.random.default_rng(0)
    corrupted = (corruption(Image.fromarray(image), level, random) for image in images)
    return np.stack([np.asarray(image) for image in corrupted])


def robustness(model: MobileNetV3Cifar, test: Split) -> dict[str, list[float]]:
    """Map each corruption's name to the accuracies (0 to 1) on `test` at severities 1, 2 and 3."""
    accuracies: dict[str, list[float]] = {}
    for corruption, levels in CORRUPTIONS.items():
        name = corruption.__name__
        for level in levels:
            corrupted = Split(corrupt(test.images, corruption, level), test.labels)
            correct, _ = correct_and_loss(split_logits(model, corrupted, name), test.labels)
            accuracies.setdefault(name, []).append(correct / len(test))
    return accuracies
