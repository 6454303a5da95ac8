"""Augment a whole batch of images at once, on the training device.

An augmentation is a frozen dataclass whose fields are its settings. Calling it maps a `Batch` to a
new `Batch`. A class that never reads the run's progress declares `ignores_progress = True`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from training.loop.draws import Draws, Normalization


class Batch(NamedTuple):
    images: Tensor  # normalised, float32 (N, 3, h, w)
    targets: Tensor  # class probabilities (N, C)
    draws: Draws
    norm: Normalization


Augmentation = Callable[[Batch], Batch]


def augment(
    images: Tensor,
    targets: Tensor,
    augmentations: Sequence[Augmentation],
    draws: Draws,
    norm: Normalization,
) -> tuple[Tensor, Tensor]:
    """Normalise uint8 images (N, h, w, 3), and augment them and their targets (N, C).

    Return the network's inputs, in channels-last memory format, and the new targets.
    """
    pixels = (images.permute(0, 3, 1, 2).float() / 255 - norm.mean) / norm.std  # (N, 3, h, w)
    batch = Batch(pixels, targets, draws, norm)
    for augmentation in augmentations:
        batch = augmentation(batch)
    return batch.images.contiguous(memory_format=torch.channels_last), batch.targets


@dataclass(frozen=True)
class Flip:
    """Flip images horizontally.

    "random" flips each image with probability 1/2. "alternating" flips a pseudorandom half of the
    images in even epochs and the other half in odd epochs (Jordan 2024, arXiv:2404.00498).
    """

    how: Literal["random", "alternating"] = "random"
    ignores_progress = True

    def __call__(self, batch: Batch) -> Batch:
        draws, images = batch.draws, batch.images
        if self.how == "random":
            flips = draws.uniform() < 0.5
        else:
            mixed = (draws.indices + 7919 * draws.seed) * 2654435761 % 2**32  # Knuth's hash
            flips = ((mixed >> 16) + draws.epoch) % 2 == 1
        return batch._replace(images=torch.where(flips.view(-1, 1, 1, 1), images.flip(3), images))


@dataclass(frozen=True)
class EnlargeRotate:
    """Resize to `size` x `size`, then rotate by a uniformly random angle.

    Corners that the rotated image does not cover are black. The student report's listing 1 resizes
    and rotates in two steps with torchvision. Here, one `grid_sample` reads each output pixel
    directly from the input image. The results can differ from torchvision's for two reasons:
    torchvision rounds the enlarged image to integers, and for a coordinate on the edge between two
    pixels, it may pick the other pixel.
    """

    degrees: float  # the largest angle in either direction
    size: int
    ignores_progress = True

    def __call__(self, batch: Batch) -> Batch:
        angles = (batch.draws.uniform() * 2 - 1) * self.degrees
        return batch._replace(images=self.rotate(batch.images, angles, batch.norm))

    def rotate(self, images: Tensor, angles: Tensor, norm: Normalization) -> Tensor:
        """Enlarge the images and rotate them counter-clockwise. `angles` (N,) are in degrees."""
        size, height = self.size, images.shape[2]
        # Subtract `norm.black`: grid_sample returns 0 outside the image, and 0 must mean black.
        # Repeat the outermost pixels, because interpolation at the edges needs one more pixel.
        pixels = nn.functional.pad(images - norm.black, (1, 1, 1, 1), mode="replicate")
        # For each output pixel, find the nearest pixel of the enlarged image. In the coordinates of
        # grid_sample, the enlarged image spans [-1, 1].
        centred = torch.arange(size, device=images.device) - (size - 1) / 2
        y, x = centred.view(1, -1, 1), centred.view(1, 1, -1)
        radians = torch.deg2rad(angles).view(-1, 1, 1)
        cos, sin = radians.cos(), radians.sin()
        grid = torch.stack((cos * x - sin * y, sin * x + cos * y), dim=-1)  # (N, size, size, 2)
        grid.add_(size / 2).floor_().add_(0.5).mul_(2 / size).sub_(1)
        grid.masked_fill_(grid.abs() > 1, 3.0)  # points outside the image move beyond the padding
        grid.mul_(height / (height + 2))  # convert to positions in the padded image
        return nn.functional.grid_sample(pixels, grid, align_corners=False).add_(norm.black)


@dataclass(frozen=True)
class Crop:
    """Pad each image with `padding` reflected pixels per side, and crop it at a random position.

    Each pair (progress, size) in `sizes` sets the crop size until the run reaches this progress.
    Then the next pair applies. After the last one, crops are as large as the unpadded image.
    Smaller crops early in training save time and cost little accuracy.
    """

    padding: int
    sizes: tuple[tuple[float, int], ...] = ()

    def __call__(self, batch: Batch) -> Batch:
        images, draws = batch.images, batch.draws
        size = next((size for end, size in self.sizes if draws.progress < end), images.shape[2])
        padded = nn.functional.pad(images, (self.padding,) * 4, mode="reflect")
        offsets = padded.shape[2] - size + 1
        steps = torch.arange(size, device=images.device)
        rows = (draws.integers(offsets)[:, None] + steps)[:, :, None]  # (N, size, 1)
        columns = (draws.integers(offsets)[:, None] + steps)[:, None, :]  # (N, 1, size)
        image = torch.arange(len(images), device=images.device)[:, None, None]
        # Advanced indexing moves the channels to the last dimension.
        return batch._replace(images=padded[image, :, rows, columns].permute(0, 3, 1, 2))


@dataclass(frozen=True)
class Cutout:
    """Fill a randomly placed square of `size` x `size` pixels with the mean colour (DeVries 2017).

    `probability` is the chance that an image is changed.
    """

    size: int
    probability: float = 1.0
    ignores_progress = True

    def __call__(self, batch: Batch) -> Batch:
        images, draws = batch.images, batch.draws
        steps = torch.arange(images.shape[2], device=images.device)
        edges = [draws.integers(images.shape[2]) - self.size // 2 for _ in "yx"]  # top, left
        inside = [(steps >= edge[:, None]) & (steps < edge[:, None] + self.size) for edge in edges]
        chosen = draws.uniform() < self.probability
        hole = chosen[:, None, None] & inside[0][:, :, None] & inside[1][:, None, :]
        return batch._replace(images=images.masked_fill(hole[:, None], 0.0))


@dataclass(frozen=True)
class CutMix:
    """Paste a rectangle from another image, and mix the labels by area (Yun et al. 2019).

    While the run's progress is in `during`, `probability` is the chance that a batch is mixed. In a
    mixed batch, the rectangle has the same position in all images. Before the rectangle is clipped
    at the image's edges, its area is a uniformly random fraction of the image.
    """

    probability: float
    during: tuple[float, float] = (0.0, 1.0)

    def __call__(self, batch: Batch) -> Batch:
        images, draws = batch.images, batch.draws
        chosen = draws.batch_generator.random() < self.probability
        if not (chosen and self.during[0] <= draws.progress < self.during[1]):
            return batch
        height, width = images.shape[2:]
        side = math.sqrt(draws.batch_generator.random())
        box_height, box_width = round(side * height), round(side * width)
        top = int(draws.batch_generator.integers(height)) - box_height // 2
        left = int(draws.batch_generator.integers(width)) - box_width // 2
        rows, columns = slice(max(0, top), top + box_height), slice(max(0, left), left + box_width)
        mixed = images.clone()
        mixed[:, :, rows, columns] = images.flip(0)[:, :, rows, columns]
        share = mixed[0, 0, rows, columns].numel() / (height * width)
        targets = batch.targets.lerp(batch.targets.flip(0), share)
        return batch._replace(images=mixed, targets=targets)


@dataclass(frozen=True)
class AffineColour:
    """Change the geometry of some images in a batch, and the colours of an equal number of others.

    A geometric change rotates by up to 15 degrees, shears by up to 0.2 or scales by 0.8 to 1.25.
    A colour change multiplies brightness, contrast or saturation by 0.6 to 1.4, or sharpness by 0
    to 2.2. While the run's progress is in `during`, both groups together make up the fraction
    `probability` of the batch. Batches are shuffled, so it is enough to change the first images.
    """

    probability: float
    during: tuple[float, float] = (0.0, 1.0)

    def __call__(self, batch: Batch) -> Batch:
        images, draws, norm = batch.images, batch.draws, batch.norm
        count = round(len(images) * self.probability / 2)
        if not count or not self.during[0] <= draws.progress < self.during[1]:
            return batch
        amount = draws.uniform() * 2 - 1  # (N,), strength and direction of the change
        kind = draws.integers(12)  # 12, so that kind % 3 and kind % 4 are both uniform
        first, second = slice(count), slice(count, 2 * count)
        moved = affine(images[first], kind[first] % 3, amount[first])
        coloured = colour(images[second] * norm.std + norm.mean, kind[second] % 4, amount[second])
        parts = [moved, (coloured - norm.mean) / norm.std, images[2 * count :]]
        return batch._replace(images=torch.cat(parts))


def affine(images: Tensor, kind: Tensor, amount: Tensor) -> Tensor:
    """Rotate (`kind` 0), shear (1) or scale (2) each image. `amount` is in [-1, 1]."""
    angle = torch.where(kind == 0, amount * math.radians(15), 0.0)
    shear = torch.where(kind == 1, amount * 0.2, 0.0)
    scale = torch.where(kind == 2, 1.25**amount, 1.0)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    rows = [[cos / scale, sin + shear, zero], [-sin, cos / scale, zero]]
    matrices = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)  # (N, 2, 3)
    grid = nn.functional.affine_grid(matrices, list(images.shape), align_corners=False)
    return nn.functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def colour(pixels: Tensor, kind: Tensor, amount: Tensor) -> Tensor:
    """Change the brightness (`kind` 0), contrast (1), saturation (2) or sharpness (3) of images.

    `pixels` are in [0, 1], and `amount` is in [-1, 1]. Each image is mixed with black (kind 0), its
    mean grey (1), its grey version (2) or its blurred version (3).
    """
    red, green, blue = pixels.split(1, dim=1)
    grey = 0.299 * red + 0.587 * green + 0.114 * blue  # (N, 1, h, w)
    padded = nn.functional.pad(pixels, (1, 1, 1, 1), mode="replicate")
    blur = nn.functional.avg_pool2d(padded, 3, stride=1)
    kinds = kind.view(-1, 1, 1, 1)
    base = torch.zeros_like(pixels)
    for number, other in ((1, grey.mean(dim=(2, 3), keepdim=True)), (2, grey), (3, blur)):
        base = torch.where(kinds == number, other, base)
    factor = torch.where(kind == 3, 1.1 + 1.1 * amount, 1 + 0.4 * amount).view(-1, 1, 1, 1)
    return base.lerp(pixels, factor).clamp(0, 1)
