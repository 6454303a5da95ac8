"""The batched augmentation against torchvision's transforms, for the same flips and angles."""

import torch
import torchvision.transforms.functional as transforms
from PIL import Image
from training.loop.augment import MAX_ANGLE, augment, draw

from mobilenetv3_cifar.preprocessing import IMAGENET_MEAN, IMAGENET_STD, to_input, to_square

# Grey levels of 255: torchvision rounds the enlarged picture to whole ones, twice.
ROUNDING = 1.01
# Share of values that may differ more: a rotated coordinate on the edge between two pixels.
EDGES = 0.002


def torchvision_way(pixels, flip, angle):
    picture = transforms.resize(Image.fromarray(pixels), [224, 224])
    picture = transforms.hflip(picture) if flip else picture
    return transforms.normalize(
        transforms.to_tensor(transforms.rotate(picture, angle)), IMAGENET_MEAN, IMAGENET_STD
    )


def grey_levels(difference):
    return difference.abs() * torch.tensor(IMAGENET_STD).view(3, 1, 1) * 255


def test_augmentation_is_torchvisions_for_the_same_flips_and_angles(sample):
    pixels = sample[0][:48]
    flips, angles = draw(len(pixels), torch.Generator().manual_seed(1))
    ours = augment(torch.from_numpy(pixels), flips, angles)
    theirs = torch.stack(
        [torchvision_way(*each) for each in zip(pixels, flips, angles.tolist(), strict=True)]
    )
    difference = grey_levels(ours - theirs)
    assert (difference > ROUNDING).float().mean() < EDGES
    assert difference.mean() < 0.5


def test_without_flip_and_rotation_it_is_the_evaluation_transform(sample):
    pixels = sample[0][:8]
    still = torch.zeros(8)
    ours = augment(torch.from_numpy(pixels), still.bool(), still)
    evaluation = to_input(
        [to_square(Image.fromarray(each), 224) for each in pixels], IMAGENET_MEAN, IMAGENET_STD
    )
    assert grey_levels(ours - evaluation).max() < ROUNDING


def test_a_flip_mirrors_left_and_right(sample):
    pixels = torch.from_numpy(sample[0][:4])
    still = torch.zeros(4)
    plain, flipped = (augment(pixels, torch.full((4,), flip), still) for flip in (False, True))
    torch.testing.assert_close(flipped, plain.flip(3), atol=1e-4, rtol=0)


def test_corners_turned_in_from_outside_are_black(sample):
    white = torch.full((1, 32, 32, 3), 255, dtype=torch.uint8)
    turned = augment(white, torch.tensor([False]), torch.tensor([MAX_ANGLE]))
    black = (torch.zeros(3) - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)
    for y, x in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        torch.testing.assert_close(turned[0, :, y, x], black)


def test_draws_are_half_flips_and_angles_over_the_whole_range():
    flips, angles = draw(10_000, torch.Generator().manual_seed(0))
    assert 0.48 < flips.float().mean() < 0.52
    assert -10 <= angles.min() < -9.9
    assert 9.9 < angles.max() <= 10
    assert abs(angles.mean()) < 0.2
