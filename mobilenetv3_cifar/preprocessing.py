"""From a picture to the network's input: the one definition for training, evaluation and demo.

A CIFAR-10 picture is 32x32 pixels; the report enlarges it to 224x224 (bilinear) and normalises it
with the ImageNet statistics (listing 11). A larger picture is first brought to 32x32, the sharpness
the network was trained on, region by region.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

LABELS = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
NATIVE_SIZE = 32  # pixels a side of a CIFAR-10 picture
# Of red, green and blue in [0, 1]. The report uses ImageNet's; our own networks use CIFAR-10's.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CIFAR10_MEAN, CIFAR10_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)

MIDDLE = 0.7  # of a photograph's width and height

View = Literal["cifar", "report"]
Box = tuple[int, int, int, int]  # pixels: left, top, and right and bottom just outside


def resize(image: Image.Image, size: int) -> Image.Image:
    """A square of `size` pixels, bilinear; Pillow averages over the covered area to reduce."""
    return image.resize((size, size), Image.Resampling.BILINEAR)


def to_square(image: Image.Image, size: int, view: View = "cifar") -> Image.Image:
    """The picture as the network sees it: RGB, `size` x `size` pixels.

    "cifar" reduces to 32x32 before it enlarges; "report" goes straight to `size`, as listing 11
    does. For a 32x32 picture both are the same.
    """
    if view not in ("cifar", "report"):
        raise ValueError(f"view must be 'cifar' or 'report', not {view!r}")
    if view == "cifar":
        image = resize(image, NATIVE_SIZE)
    return resize(image, size)


def regions(size: tuple[int, int]) -> list[Box]:
    """The parts of a picture of that width and height that are asked about, for an average.

    CIFAR-10's pictures are filled by what they show; of a photograph, it may be the middle only. So
    of anything larger than 32x32: the whole, the centred square, and the middle 70 % each way.
    """
    width, height = size
    whole = (0, 0, width, height)
    if max(size) <= NATIVE_SIZE:
        return [whole]
    side = min(size)
    middle = max(1, round(MIDDLE * width)), max(1, round(MIDDLE * height))
    return [whole, centred(size, (side, side)), centred(size, middle)]


def centred(size: tuple[int, int], part: tuple[int, int]) -> Box:
    left, top = (size[0] - part[0]) // 2, (size[1] - part[1]) // 2
    return left, top, left + part[0], top + part[1]


def normalize(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(N, 3, H, W) in [0, 1] -> the same shape, minus the mean, over the standard deviation."""
    means = torch.tensor(mean, device=pixels.device).view(3, 1, 1)
    deviations = torch.tensor(std, device=pixels.device).view(3, 1, 1)
    return (pixels - means) / deviations


def to_input(squares: Sequence[Image.Image], mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """RGB images of one size -> float32 (N, 3, H, W), normalised."""
    pixels = torch.from_numpy(np.stack([np.asarray(square) for square in squares]))  # (N, H, W, 3)
    return normalize(pixels.permute(0, 3, 1, 2).float() / 255, mean, std)
