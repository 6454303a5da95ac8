"""These tests compare the network's inputs with the inputs that the report's code makes."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from mobilenetv3_cifar import MobileNetV3Cifar
from mobilenetv3_cifar.preprocessing import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    pillow_resize,
    to_square,
    views_of,
)

LISTING_11 = transforms.Compose(
    [
        transforms.Resize((224, 224)),
        transforms.ToTensor(),
        transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
    ]
)


@pytest.fixture(scope="module")
def model():
    return MobileNetV3Cifar().eval()


def photograph():
    """Return an image with fine detail everywhere, 150 pixels wide and 96 pixels high."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 150, 3), np.uint8))


@pytest.mark.parametrize("resize", ["via_32", "direct"])
def test_a_cifar_image_becomes_bit_for_bit_what_the_report_makes_of_it(model, sample, resize):
    for pixels in sample[0][:20]:
        image = Image.fromarray(pixels)
        assert torch.equal(model.preprocess(image, resize)[0], LISTING_11(image))


def test_a_photograph_resized_directly_is_listing_11(model):
    image = photograph()
    assert torch.equal(model.preprocess(image, "direct")[0], LISTING_11(image))


def test_by_default_a_photograph_is_first_resized_to_32_pixels(model):
    image = photograph()
    small = image.resize((32, 32), Image.Resampling.BILINEAR)
    assert torch.equal(model.preprocess(image), model.preprocess(small, "direct"))


def test_an_unknown_resize_is_refused(model):
    with pytest.raises(ValueError, match="'wide'"):
        model.preprocess(photograph(), "wide")


def test_the_square_keeps_the_colours_of_a_plain_image():
    square = to_square(Image.new("RGB", (50, 70), (10, 200, 90)), 224)
    assert square.size == (224, 224)
    assert square.getextrema() == ((10, 10), (200, 200), (90, 90))


@pytest.mark.parametrize(
    ("size", "boxes"),
    [
        ((32, 32), []),
        ((500, 127), []),
        ((151, 201), [(0, 25, 151, 176), (15, 40, 135, 160), (30, 55, 120, 145)]),
        ((128, 128), [(13, 13, 115, 115), (26, 26, 102, 102)]),
    ],
)
def test_a_photograph_is_also_viewed_through_centred_squares(size, boxes):
    pixels = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8)
    image = Image.fromarray(pixels)
    assert views_of(image) == [image, *map(image.crop, boxes)]


@pytest.mark.parametrize("size", [32, 33, 48, 224, 225])
def test_batches_are_enlarged_exactly_as_pillow_does_it(sample, size):
    images = torch.from_numpy(sample[0][:4])
    batch = pillow_resize(images.permute(0, 3, 1, 2), size).permute(0, 2, 3, 1)
    for pixels, enlarged in zip(sample[0], batch.numpy(), strict=False):
        expected = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(enlarged, np.asarray(expected))
