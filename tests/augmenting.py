"""Apply batch augmentations to normalised images, for tests."""

import numpy as np
import torch
from torch import Tensor

from mobilenetv3_cifar.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from training.loop.augmentation import Augmentation, Batch
from training.loop.draws import Draws, Normalization

NORM = Normalization(IMAGENET_MEAN, IMAGENET_STD, torch.device("cpu"))


def draws(count: int, seed: int = 0, step: int = 0, **arguments) -> Draws:
    return Draws(seed, step, count=count, indices=torch.arange(count), **arguments)


def targets(count: int) -> Tensor:
    """Return one-hot targets (count, 10) of the classes 0, 1, ..., 9, 0, ..."""
    return torch.eye(10)[torch.arange(count) % 10]


def run(augmentation: Augmentation, images: Tensor, **arguments) -> tuple[Tensor, Tensor]:
    """Return the augmented images and targets. `arguments` are those of `draws`."""
    count = len(images)
    return augmentation(Batch(images, targets(count), draws(count, **arguments), NORM))[:2]


def normalised(images: np.ndarray) -> Tensor:
    """Convert uint8 images (N, h, w, 3) to normalised images, float32 (N, 3, h, w)."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    return (pixels - NORM.mean) / NORM.std
