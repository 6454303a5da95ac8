"""From pictures to labelled probabilities, in batches; the network is left as it was found."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mobilenetv3_cifar.images import open_image
from mobilenetv3_cifar.preprocessing import View, to_input, to_square

if TYPE_CHECKING:
    from mobilenetv3_cifar.model import MobileNetV3Cifar

Picture = Image.Image | Path | str | np.ndarray  # an array is uint8 (H, W, 3)
Item = TypeVar("Item")


def predict(
    model: "MobileNetV3Cifar",
    images: Picture | Sequence[Picture],
    top_k: int | None = 3,
    batch_size: int = 64,
) -> dict[str, float] | list[dict[str, float]]:
    """One picture -> {label: probability}, highest first; a list of pictures -> a list of those.

    Args:
        top_k: how many labels; None for all.

    Raises:
        ImageError: a picture cannot be opened.
        ValueError: top_k or batch_size is not at least 1.
    """
    if (top_k is not None and top_k < 1) or batch_size < 1:
        raise ValueError(f"top_k and batch_size must be at least 1, not {top_k} and {batch_size}")
    if isinstance(images, Image.Image | Path | str | np.ndarray):
        return predict_batch(model, [images], top_k)[0]
    return [
        answer
        for batch in batches(images, batch_size)
        for answer in predict_batch(model, batch, top_k)
    ]


def predict_batch(
    model: "MobileNetV3Cifar", pictures: Sequence[Picture], top_k: int | None
) -> list[dict[str, float]]:
    logits = compute_logits(model, [open_image(picture) for picture in pictures])
    probabilities = to_probabilities(model, logits)
    return [ranked(row.tolist(), model.config.labels, top_k) for row in probabilities]


def to_probabilities(model: "MobileNetV3Cifar", logits: Tensor) -> Tensor:
    """Logits (N, C) -> probabilities (N, C), softened by the config's temperature."""
    return (logits / model.config.temperature).softmax(dim=1)


def ranked(row: list[float], labels: Sequence[str], top_k: int | None) -> dict[str, float]:
    pairs = sorted(zip(labels, row, strict=True), key=lambda pair: -pair[1])
    return dict(pairs[:top_k])


def compute_logits(
    model: "MobileNetV3Cifar",
    pictures: Iterable[Image.Image],
    batch_size: int = 64,
    view: View = "cifar",
) -> Tensor:
    """RGB pictures of any size -> logits, float32 (N, C), on the CPU; always in evaluation mode."""
    network = evaluation_copy(model) if model.training else model
    device, size = next(network.parameters()).device, network.config.image_size
    parts = [torch.empty(0, network.config.num_classes)]
    with torch.inference_mode():
        for batch in batches(pictures, batch_size):
            inputs = to_input([to_square(picture, size, view) for picture in batch]).to(device)
            inputs = inputs.contiguous(memory_format=torch.channels_last)  # twice as fast on CPUs
            parts.append(network(inputs).float().cpu())
    return torch.cat(parts)


def evaluation_copy(model: "MobileNetV3Cifar") -> "MobileNetV3Cifar":
    """A private network in evaluation mode: what is done to it never shows in the original."""
    return copy.deepcopy(model).eval().requires_grad_(False)


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items, the last as long as is left (itertools.batched comes with 3.12)."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
