"""These tests compare batch augmentations with slow, plain code that uses the same random draws."""

import math

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as transforms
from PIL import Image

from mobilenetv3_cifar.preprocessing import IMAGENET_MEAN, IMAGENET_STD, to_input, to_square
from training.loop.augmentation import (
    AffineColour,
    Batch,
    Crop,
    CutMix,
    Cutout,
    EnlargeRotate,
    Flip,
    affine,
    augment,
    colour,
)
from training.loop.draws import Draws, Normalization

# The tolerance, on a scale from 0 (black) to 255 (white). Torchvision rounds values to whole
# numbers twice, each time by at most 0.5.
ROUNDING = 1.01
# The fraction of values that may differ by more than ROUNDING. Where a rotated position lies on the
# edge between two pixels, either pixel may be taken.
EDGES = 0.002
NORM = Normalization(IMAGENET_MEAN, IMAGENET_STD, torch.device("cpu"))
REPORT = (Flip(), EnlargeRotate(10.0, 224))


def draws(count, seed=0, step=0, **arguments):
    return Draws(seed, step, count=count, indices=torch.arange(count), **arguments)


def targets(count):
    return torch.eye(10)[torch.arange(count) % 10]


def run(augmentation, images, **arguments):
    batch = Batch(images, targets(len(images)), draws(len(images), **arguments), NORM)
    return augmentation(batch)[:2]


def grey_levels(difference):
    return difference.abs() * torch.tensor(IMAGENET_STD).view(3, 1, 1) * 255


@pytest.fixture
def images(sample):
    """Return 48 normalised images, float32 (48, 3, 32, 32)."""
    pixels = torch.from_numpy(sample[0][:48]).permute(0, 3, 1, 2).float() / 255
    return (pixels - NORM.mean) / NORM.std


def torchvision_way(pixels, flip, angle):
    image = transforms.resize(Image.fromarray(pixels), [224, 224])
    image = transforms.hflip(image) if flip else image
    tensor = transforms.to_tensor(transforms.rotate(image, angle))
    return transforms.normalize(tensor, IMAGENET_MEAN, IMAGENET_STD)


def test_the_reports_augmentation_is_torchvisions_for_the_same_draws(sample):
    pixels = sample[0][:48]
    again = draws(48)
    flips, angles = again.uniform() < 0.5, (again.uniform() * 2 - 1) * 10
    ours, _ = augment(torch.from_numpy(pixels), targets(48), REPORT, draws(48), NORM)
    theirs = torch.stack(
        [torchvision_way(*each) for each in zip(pixels, flips, angles.tolist(), strict=True)]
    )
    difference = grey_levels(ours - theirs)
    assert (difference > ROUNDING).float().mean() < EDGES
    assert difference.mean() < 0.5


def test_without_rotation_enlarging_is_the_evaluation_transform(sample, images):
    ours = EnlargeRotate(10.0, 224).rotate(images[:8], torch.zeros(8), NORM)
    squares = [to_square(Image.fromarray(each), 224) for each in sample[0][:8]]
    evaluation = to_input(squares, IMAGENET_MEAN, IMAGENET_STD)
    assert grey_levels(ours - evaluation).max() < ROUNDING


def test_corners_rotated_in_from_outside_are_black():
    white = (torch.ones(1, 3, 32, 32) - NORM.mean) / NORM.std
    turned = EnlargeRotate(10.0, 224).rotate(white, torch.tensor([10.0]), NORM)
    for y, x in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        torch.testing.assert_close(turned[0, :, y, x], NORM.black[0, :, 0, 0])


def test_random_flips_mirror_about_half_of_the_images(images):
    many = images.repeat(20, 1, 1, 1)
    flipped, _ = run(Flip(), many)
    mirrored = (flipped == many.flip(3)).flatten(1).all(1)
    unchanged = (flipped == many).flatten(1).all(1)
    assert (mirrored | unchanged).all()
    assert 0.45 < mirrored.float().mean() < 0.55


def test_alternating_flips_mirror_each_image_in_every_other_epoch(images):
    epochs = [run(Flip("alternating"), images, epoch=epoch)[0] for epoch in range(4)]
    assert torch.equal(epochs[0], epochs[2])
    assert torch.equal(epochs[1], epochs[0].flip(3))
    mirrored = (epochs[0] == images.flip(3)).flatten(1).all(1)
    assert 12 < mirrored.sum() < 36


@pytest.mark.parametrize(("progress", "size"), [(0.1, 24), (0.5, 28), (0.9, 32)])
def test_crops_are_those_cut_one_by_one_from_the_padded_image(images, progress, size):
    crop = Crop(4, sizes=((0.3, 24), (0.6, 28)))
    ours, _ = run(crop, images, progress=progress)
    again = draws(48)
    tops, lefts = again.integers(41 - size), again.integers(41 - size)
    for image, cropped, top, left in zip(images, ours, tops, lefts, strict=True):
        padded = np.pad(image.numpy(), ((0, 0), (4, 4), (4, 4)), mode="reflect")
        expected = padded[:, top : top + size, left : left + size]
        assert np.array_equal(cropped.numpy(), expected)
    assert ours.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("size", [7, 12])
def test_cutout_blanks_one_square_of_the_chosen_images(images, size):
    ours, _ = run(Cutout(size, probability=0.5), images)
    again = draws(48)
    tops, lefts = (again.integers(32) - size // 2 for _ in "yx")
    chosen = again.uniform() < 0.5
    for image, cut, top, left, hit in zip(images, ours, tops, lefts, chosen, strict=True):
        expected = image.clone()
        if hit:
            expected[:, max(0, top) : top + size, max(0, left) : left + size] = 0
        assert torch.equal(cut, expected)
    assert 12 < chosen.sum() < 36


def test_cutmix_pastes_a_rectangle_and_mixes_the_labels_by_its_area(images):
    for step in range(20):
        mixed, mixed_targets = run(CutMix(1.0), images, step=step)
        pasted = (mixed != images).any(dim=1)  # (N, 32, 32)
        other = images.flip(0)
        assert torch.equal(mixed, torch.where(pasted[:, None], other, images))
        different = (images != other).any(dim=1)
        share = (pasted.sum() / different.sum()).item()
        kept = targets(48) * (1 - share) + targets(48).flip(0) * share
        torch.testing.assert_close(mixed_targets, kept, atol=0.02, rtol=0)


@pytest.mark.parametrize("augmentation", [CutMix, AffineColour])
def test_an_augmentation_for_a_part_of_the_run_does_nothing_in_the_rest(images, augmentation):
    limited = augmentation(1.0, during=(0.1, 0.8))
    for progress in (0.05, 0.8, 0.95):
        assert torch.equal(run(limited, images, progress=progress)[0], images)
    assert not torch.equal(run(limited, images, progress=0.5)[0], images)


def test_a_probability_of_zero_never_mixes(images):
    for augmentation in (CutMix(0.0), AffineColour(0.0)):
        assert torch.equal(run(augmentation, images)[0], images)


def bilinear(image, y, x):
    """Interpolate `image` at the fractional position (y, x), with reflection at the border."""
    height, width = image.shape

    def reflect(value, size):
        value = abs(value + 0.5) % (2 * size)
        return min(max((2 * size - value if value > size else value) - 0.5, 0), size - 1)

    y, x = reflect(y, height), reflect(x, width)
    top, left = min(int(y), height - 2), min(int(x), width - 2)
    down, right = y - top, x - left
    rows = image[top : top + 2, left : left + 2] @ [1 - right, right]
    return rows @ [1 - down, down]


@pytest.mark.parametrize("kind", [0, 1, 2])
@pytest.mark.parametrize("amount", [-0.9, 0.6])
def test_an_affine_change_samples_the_transformed_position(images, kind, amount):
    ours = affine(images[:1], torch.tensor([kind]), torch.tensor([amount]))[0, 0].numpy()
    angle = math.radians(15) * amount if kind == 0 else 0
    shear = 0.2 * amount if kind == 1 else 0
    scale = 1.25**amount if kind == 2 else 1
    plane = images[0, 0].numpy().astype(float)
    for row, column in ((0, 0), (5, 20), (16, 16), (31, 3)):
        y, x = row - 15.5, column - 15.5
        source_x = math.cos(angle) / scale * x + (math.sin(angle) + shear) * y
        source_y = -math.sin(angle) * x + math.cos(angle) / scale * y
        expected = bilinear(plane, source_y + 15.5, source_x + 15.5)
        assert ours[row, column] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("kind", "torchvision", "factor"),
    [
        (0, transforms.adjust_brightness, lambda amount: 1 + 0.4 * amount),
        (2, transforms.adjust_saturation, lambda amount: 1 + 0.4 * amount),
        (1, transforms.adjust_contrast, lambda amount: 1 + 0.4 * amount),
    ],
)
@pytest.mark.parametrize("amount", [-0.8, 0.7])
def test_a_colour_change_is_torchvisions(images, kind, torchvision, factor, amount):
    pixels = (images[:4] * NORM.std + NORM.mean).clamp(0, 1)
    ours = colour(pixels, torch.full((4,), kind), torch.full((4,), amount))
    theirs = torch.stack([torchvision(image, factor(amount)) for image in pixels])
    torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=0)


def test_sharpness_moves_away_from_the_blur_or_towards_it(images):
    pixels = (images[:1] * NORM.std + NORM.mean).clamp(0, 1)
    kind = torch.tensor([3])
    blurred = colour(pixels, kind, torch.tensor([-1.0]))
    expected = torch.nn.functional.pad(pixels, (1, 1, 1, 1), mode="replicate")
    assert blurred[0, 1, 4, 9] == pytest.approx(expected[0, 1, 4:7, 9:12].mean().item(), abs=1e-5)
    same = colour(pixels, kind, torch.tensor([-1 / 11]))
    torch.testing.assert_close(same, pixels, atol=1e-5, rtol=0)


def test_affine_and_colour_change_the_given_part_of_a_batch(images):
    ours, _ = run(AffineColour(0.5), images)
    changed = (ours - images).abs().flatten(1).amax(1) > 1e-4
    assert changed[24:].sum() == 0
    assert changed[:24].sum() > 20


def test_processes_draw_their_parts_of_the_same_numbers():
    whole = draws(10).uniform()
    parts = [
        Draws(0, 0, count=10, indices=torch.arange(5), part=slice(rank, None, 2)).uniform()
        for rank in (0, 1)
    ]
    assert torch.equal(torch.stack(parts, dim=1).flatten(), whole)


def test_draws_depend_on_seed_and_step_alone():
    assert torch.equal(draws(8, 1, 5).uniform(), draws(8, 1, 5).uniform())
    assert not torch.equal(draws(8, 1, 5).uniform(), draws(8, 1, 6).uniform())
    assert not torch.equal(draws(8, 1, 5).uniform(), draws(8, 2, 5).uniform())
