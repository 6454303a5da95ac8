"""These tests compare batch augmentations with slow, plain code that uses the same random draws."""

import math

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as transforms
from PIL import Image

from mobilenetv3_cifar.preprocessing import IMAGENET_MEAN, IMAGENET_STD, to_input, to_square
from tests.augmenting import NORM, draws, normalised, run, targets
from training.loop.augmentation import (
    AffineColour,
    Crop,
    CutMix,
    Cutout,
    EnlargeRotate,
    Flip,
    augment,
)
from training.loop.draws import Draws

# The tolerance, on a scale from 0 (black) to 255 (white). Torchvision rounds values to whole
# numbers twice, each time by at most 0.5.
ROUNDING = 1.01
# The fraction of values that may differ by more than ROUNDING. Where a rotated position lies on the
# edge between two pixels, either pixel may be taken.
EDGES = 0.002
REPORT = (Flip(), EnlargeRotate(10.0, 224))


def grey_levels(difference):
    return difference.abs() * torch.tensor(IMAGENET_STD).view(3, 1, 1) * 255


@pytest.fixture
def images(sample):
    return normalised(sample[0][:48])


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


@pytest.mark.parametrize("step", range(8))
def test_cutmix_pastes_a_rectangle_and_mixes_the_labels_by_its_area(images, step):
    images = images[:10, :, :, :24]  # not square, so that height and width cannot be swapped
    mixed, mixed_targets = run(CutMix(1.0), images, step=step)
    random = np.random.default_rng((0, step))
    random.random()  # decides whether to mix
    # A share `area` of the image has the same shape as the image if it is scaled by sqrt(area).
    area = random.random()
    height, width = round(32 * math.sqrt(area)), round(24 * math.sqrt(area))
    top, left = random.integers(32) - height // 2, random.integers(24) - width // 2
    expected, pasted = images.clone(), 0
    for y in range(32):
        for x in range(24):
            if top <= y < top + height and left <= x < left + width:
                pasted += 1
                for i in range(10):
                    expected[i, :, y, x] = images[9 - i, :, y, x]
    assert torch.equal(mixed, expected)
    share = pasted / (32 * 24)
    for i in range(10):
        kept = {i: 1 - share, 9 - i: share}
        assert mixed_targets[i].tolist() == pytest.approx([kept.get(c, 0) for c in range(10)])


def test_cutmix_has_rectangles_of_every_area_and_position():
    """Compare with the law: a share u of the image, uniform in [0, 1], around a uniform centre.

    In each direction, clipping at the edges shortens a side s = sqrt(u) to s - s^2 / 4 on average.
    The mean of (s - s^2 / 4)^2 is 1/2 - 1/5 + 1/48. The rectangle contains the image's centre with
    probability s^2, and a corner with probability s^2 / 4.
    """
    images = torch.stack([torch.zeros(3, 32, 32), torch.ones(3, 32, 32)])
    pasted = [run(CutMix(1.0), images, step=step)[0][0, 0] for step in range(600)]
    covered = torch.stack(pasted).mean(0)
    assert covered.mean().item() == pytest.approx(1 / 2 - 1 / 5 + 1 / 48, abs=0.03)
    assert covered[16, 16].item() == pytest.approx(1 / 2, abs=0.06)
    for corner in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        assert covered[corner].item() == pytest.approx(1 / 8, abs=0.06)


@pytest.mark.parametrize("augmentation", [CutMix, AffineColour])
def test_an_augmentation_for_a_part_of_the_run_does_nothing_in_the_rest(images, augmentation):
    limited = augmentation(1.0, during=(0.1, 0.8))
    for progress in (0.05, 0.8, 0.95):
        assert torch.equal(run(limited, images, progress=progress)[0], images)
    assert not torch.equal(run(limited, images, progress=0.5)[0], images)


def test_a_probability_of_zero_never_mixes(images):
    for augmentation in (CutMix(0.0), AffineColour(0.0)):
        assert torch.equal(run(augmentation, images)[0], images)


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
