"""These tests compare AffineColour with slow code that changes one image and pixel at a time."""

import math

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as transforms

from tests.augmenting import NORM, draws, normalised, run
from training.loop.augmentation import AffineColour


@pytest.fixture
def images(sample):
    return normalised(sample[0][:48])


def bilinear(image, y, x):
    """Interpolate `image` (3, h, w) at the position (y, x), with reflection at the border."""
    height, width = image.shape[1:]

    def reflect(value, size):
        value = abs(value + 0.5) % (2 * size)
        return min(max((2 * size - value if value > size else value) - 0.5, 0), size - 1)

    y, x = reflect(y, height), reflect(x, width)
    top, left = min(int(y), height - 2), min(int(x), width - 2)
    down, right = y - top, x - left
    rows = image[:, top : top + 2, left : left + 2] @ [1 - right, right]
    return rows @ [1 - down, down]


def moved(image, kind, amount):
    """Rotate (`kind` 0), shear (1) or scale (2) a square image about its centre."""
    angle = math.radians(15 * amount)
    matrix = {
        0: [[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]],
        1: [[1, 0.2 * amount], [0, 1]],
        2: [[1 / 1.25**amount, 0], [0, 1 / 1.25**amount]],
    }[kind]
    image, size = image.numpy().astype(float), image.shape[1]
    centre, result = (size - 1) / 2, np.empty(image.shape)
    for row, column in np.ndindex(size, size):
        x, y = matrix @ np.array([column - centre, row - centre])  # from where the pixel comes
        result[:, row, column] = bilinear(image, y + centre, x + centre)
    return torch.tensor(result, dtype=torch.float32)


def coloured(image, kind, amount):
    """Change the brightness (`kind` 0), contrast (1), saturation (2) or sharpness (3)."""
    pixels, factor = (image * NORM.std + NORM.mean).clamp(0, 1), 1 + 0.4 * amount
    if kind == 3:
        rows = pixels.shape[1]
        blurred = torch.empty_like(pixels)
        for y, x in np.ndindex(rows, rows):
            near = [
                pixels[:, min(max(y + down, 0), rows - 1), min(max(x + right, 0), rows - 1)]
                for down in (-1, 0, 1)
                for right in (-1, 0, 1)
            ]
            blurred[:, y, x] = torch.stack(near).mean(0)
        sharpness = 1.1 * (1 + amount)  # 0 blurs, 1 does nothing, and 2.2 sharpens
        changed = (blurred + (pixels - blurred) * sharpness).clamp(0, 1)
    else:
        change = ("adjust_brightness", "adjust_contrast", "adjust_saturation")[kind]
        changed = getattr(transforms, change)(pixels, factor)
    return (changed - NORM.mean) / NORM.std


@pytest.mark.parametrize("step", range(6))
def test_a_batch_is_the_one_that_is_changed_image_by_image(images, step):
    images = images[8 * step :][:8, :, 6:22, 6:22]
    ours, _ = run(AffineColour(0.75), images, step=step)
    again = draws(8, step=step)
    amounts = [2 * value - 1 for value in again.uniform().tolist()]
    kinds = again.integers(12).tolist()
    for i, (image, amount, kind) in enumerate(zip(images, amounts, kinds, strict=True)):
        if i < 3:
            expected = moved(image, kind % 3, amount)
        elif i < 6:
            expected = coloured(image, kind % 4, amount)
        else:
            expected = image
        torch.testing.assert_close(ours[i], expected, atol=5e-3, rtol=0)


def test_the_steps_above_use_every_kind_of_change():
    affine, colour = set(), set()
    for step in range(6):
        again = draws(8, step=step)
        again.uniform()
        kinds = again.integers(12)
        affine |= set((kinds[:3] % 3).tolist())
        colour |= set((kinds[3:6] % 4).tolist())
    assert (affine, colour) == ({0, 1, 2}, {0, 1, 2, 3})


@pytest.mark.parametrize(("probability", "changed"), [(0.5, 24), (1.0, 48), (0.02, 0)])
def test_affine_and_colour_change_the_given_part_of_a_batch(images, probability, changed):
    ours, _ = run(AffineColour(probability), images)
    different = (ours - images).abs().flatten(1).amax(1) > 1e-4
    assert different[changed:].sum() == 0
    assert different[:changed].sum() >= 0.8 * changed
