"""From pictures to labelled probabilities, in batches; the network is left as it was found."""

import copy
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mobilenetv3_cifar.images import open_image
from mobilenetv3_cifar.preprocessing import regions, to_input, to_square

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

    The answer to a picture larger than 32x32 is the mean over its `regions`.

    Args:
        top_k: how many labels; None for all.
        batch_size: regions in one pass through the network.

    Raises:
        ImageError: a picture cannot be opened.
        ValueError: top_k or batch_size is not at least 1.
    """
    if isinstance(images, Image.Image | Path | str | np.ndarray):
        return next(predict_each(model, [open_image(images)], top_k, batch_size))
    return list(predict_each(model, map(open_image, images), top_k, batch_size))


def predict_each(
    model: "MobileNetV3Cifar",
    pictures: Iterable[Image.Image],
    top_k: int | None = 3,
    batch_size: int = 64,
) -> Iterator[dict[str, float]]:
    """The answer for one RGB picture after the other; no more than a batch is held in memory."""
    if (top_k is not None and top_k < 1) or batch_size < 1:
        raise ValueError(f"top_k and batch_size must be at least 1, not {top_k} and {batch_size}")
    for logits in logits_each(model, pictures, batch_size):
        yield ranked(to_probabilities(model, logits).tolist(), model.config.labels, top_k)


def to_probabilities(model: "MobileNetV3Cifar", logits: Tensor) -> Tensor:
    """Logits (..., C) -> probabilities (..., C), softened by the config's temperature."""
    return (logits / model.config.temperature).softmax(dim=-1)


def ranked(row: list[float], labels: Sequence[str], top_k: int | None) -> dict[str, float]:
    pairs = sorted(zip(labels, row, strict=True), key=lambda pair: -pair[1])
    return dict(pairs[:top_k])


def compute_logits(
    model: "MobileNetV3Cifar", pictures: Iterable[Image.Image], batch_size: int = 64
) -> Tensor:
    """RGB pictures of any size -> logits, float32 (N, C), on the CPU; always in evaluation mode."""
    rows = list(logits_each(model, pictures, batch_size))
    return torch.stack(rows) if rows else torch.empty(0, model.config.num_classes)


def logits_each(
    model: "MobileNetV3Cifar", pictures: Iterable[Image.Image], batch_size: int
) -> Iterator[Tensor]:
    """The logits (C,) of one picture after the other: the mean over its regions."""
    size = model.config.image_size
    counts: deque[int] = deque()  # of the regions of the pictures that are on their way

    def squares() -> Iterator[Image.Image]:
        for picture in pictures:
            boxes = regions(picture.size)
            counts.append(len(boxes))
            yield from (to_square(picture.crop(box), size) for box in boxes)

    rows = (row for logits in logit_batches(model, squares(), batch_size) for row in logits)
    for row in rows:
        yield torch.stack([row, *islice(rows, counts.popleft() - 1)]).mean(0)


def logit_batches(
    model: "MobileNetV3Cifar", squares: Iterable[Image.Image], batch_size: int
) -> Iterator[Tensor]:
    learning = any(part.training for part in model.modules())
    network = evaluation_copy(model) if learning else model
    weight = next(network.parameters())
    for batch in batches(squares, batch_size):
        # Channels last, the layout that the network was trained in.
        inputs = (
            to_input(batch, model.config.mean, model.config.std)
            .contiguous(memory_format=torch.channels_last)
            .to(weight)
        )
        with torch.inference_mode():
            logits = network(inputs)
        yield logits.float().cpu()


def evaluation_copy(model: "MobileNetV3Cifar") -> "MobileNetV3Cifar":
    """A private network in evaluation mode: what is done to it never shows in the original."""
    return copy.deepcopy(model).eval().requires_grad_(False)


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items, the last as long as is left (itertools.batched comes with 3.12)."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
