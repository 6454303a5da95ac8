"""The input that the network gets, against torchvision's transforms of the report."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from mobilenetv3_cifar import MobileNetV3Cifar
from mobilenetv3_cifar.preprocessing import IMAGENET_MEAN, IMAGENET_STD, to_square

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
    """A picture of 96x150 pixels with fine detail everywhere."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 150, 3), np.uint8))


@pytest.mark.parametrize("view", ["cifar", "report"])
def test_a_cifar_picture_becomes_bit_for_bit_what_the_report_makes_of_it(model, sample, view):
    for pixels in sample[0][:20]:
        picture = Image.fromarray(pixels)
        assert torch.equal(model.preprocess(picture, view)[0], LISTING_11(picture))


def test_the_report_view_of_a_photograph_is_listing_11(model):
    picture = photograph()
    assert torch.equal(model.preprocess(picture, "report")[0], LISTING_11(picture))


def test_the_default_view_of_a_photograph_is_that_of_its_32_pixel_version(model):
    picture = photograph()
    small = picture.resize((32, 32), Image.Resampling.BILINEAR)
    assert torch.equal(model.preprocess(picture), model.preprocess(small, "report"))


def test_an_unknown_view_is_refused(model):
    with pytest.raises(ValueError, match="'wide'"):
        model.preprocess(photograph(), "wide")


def test_the_square_keeps_the_colours_of_a_plain_picture():
    square = to_square(Image.new("RGB", (50, 70), (10, 200, 90)), 224)
    assert square.size == (224, 224)
    assert square.getextrema() == ((10, 10), (200, 200), (90, 90))
