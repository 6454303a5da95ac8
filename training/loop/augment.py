"""Augment a whole batch at once, on the device that trains: enlarge, flip, rotate, normalise.

The distribution is the report's (listing 1): resize to 224x224, horizontal flip with probability
1/2, rotation by an angle uniform in +-10 degrees (nearest neighbour, black corners), ImageNet
statistics. Its torchvision transforms work image by image on enlarged pictures; here one
`grid_sample` reads each output pixel straight from the 32x32 picture: the nearest pixel of the
rotated enlargement, whose value is a bilinear mix of four original pixels. The result differs from
torchvision's by the rounding of the enlarged picture to whole grey levels, and by a neighbouring
pixel where a rotated coordinate falls on a pixel's edge.
"""

import torch
from torch import Tensor, nn

from mobilenetv3_cifar.preprocessing import IMAGENET_MEAN, IMAGENET_STD, normalize

MAX_ANGLE = 10.0  # degrees, either way


def draw(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random flips, bool (count,), and angles in degrees, float32 (count,)."""
    flips = torch.rand(count, generator=generator) < 0.5
    angles = (torch.rand(count, generator=generator) * 2 - 1) * MAX_ANGLE
    return flips, angles


def augment(images: Tensor, flips: Tensor, angles: Tensor, size: int = 224) -> Tensor:
    """uint8 (N, h, h, 3), flips and degrees (N,) -> float32 (N, 3, size, size).

    Angles turn the picture counter-clockwise, after the flip.
    """
    pixels = images.permute(0, 3, 1, 2).float() / 255  # (N, 3, h, h)
    pixels = torch.where(flips.view(-1, 1, 1, 1), pixels.flip(3), pixels)
    # Black is moved to zero, grid_sample's value outside; the edge is repeated once, to mix with.
    black = normalize(torch.zeros(1, 3, 1, 1, device=images.device), IMAGENET_MEAN, IMAGENET_STD)
    pixels = nn.functional.pad(
        normalize(pixels, IMAGENET_MEAN, IMAGENET_STD) - black, (1, 1, 1, 1), mode="replicate"
    )

    # The nearest pixel of the enlarged picture to each output pixel, then -1 to 1 across it.
    centred = torch.arange(size, device=images.device) - (size - 1) / 2
    y, x = centred.view(1, -1, 1), centred.view(1, 1, -1)
    radians = torch.deg2rad(angles).view(-1, 1, 1)
    cos, sin = radians.cos(), radians.sin()
    grid = torch.stack((cos * x - sin * y, sin * x + cos * y), dim=-1)  # (N, size, size, 2)
    grid.add_(size / 2).floor_().add_(0.5).mul_(2 / size).sub_(1)
    grid.masked_fill_(grid.abs() > 1, 3.0)  # outside: black, beyond the repeated edge too

    height = images.shape[1]
    grid.mul_(height / (height + 2))  # the same places in the padded picture
    return nn.functional.grid_sample(pixels, grid, align_corners=False).add_(black)
