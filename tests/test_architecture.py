"""These tests check parameter and MAC counts, and compare our outputs with torchvision's."""

from itertools import pairwise

import pytest
import torch
from torchvision.models import mobilenet_v3_large, mobilenet_v3_small

from mobilenetv3_cifar import MobileNetV3Cifar
from mobilenetv3_cifar.architecture import LAYOUTS, round_to_multiple
from training.reports.metrics import count_macs

IMAGENET = {"large": mobilenet_v3_large, "small": mobilenet_v3_small}


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("size", "count"), [("small", 1_836_082), ("large", 4_208_242)])
def test_report_network_has_the_parameters_of_the_report(size, count):
    assert parameters(MobileNetV3Cifar(size=size)) == count


@pytest.mark.parametrize(("size", "millions"), [("small", 59.0), ("large", 259.4)])
def test_report_network_costs_the_multiply_accumulates_of_the_report(size, millions):
    assert round(count_macs(MobileNetV3Cifar(size=size).eval(), 224) / 1e6, 1) == millions


@pytest.mark.parametrize(("size", "count"), [("small", 2_542_856), ("large", 5_483_032)])
def test_paper_network_has_the_published_imagenet_parameters(size, count):
    assert parameters(MobileNetV3Cifar(size=size, blocks="paper", num_classes=1000)) == count


@pytest.mark.parametrize("size", ["small", "large"])
def test_paper_network_gives_torchvisions_outputs_with_torchvisions_weights(size):
    theirs = IMAGENET[size](num_classes=10).eval()
    ours = MobileNetV3Cifar(size=size, blocks="paper").eval()
    # Both networks have the same tensors in the same order. The names differ, and so do the shapes
    # where one network has a linear layer and the other has a 1x1 convolution.
    weights = zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True)
    ours.load_state_dict({name: value.reshape(own.shape) for (name, own), value in weights})
    # The outputs hardly depend on eps, and not at all on momentum, so check both values directly.
    for module in [*ours.modules(), *theirs.modules()]:
        if isinstance(module, torch.nn.BatchNorm2d):
            assert (module.eps, module.momentum) == (1e-3, 0.01)
    inputs = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(ours(inputs), theirs(inputs), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("size", "blocks"), LAYOUTS)
def test_rows_fit_together_and_strides_give_the_size_of_the_map(size, blocks):
    rows = LAYOUTS[size, blocks].rows
    for before, after in pairwise(rows):
        assert before.outputs == after.inputs
    model = MobileNetV3Cifar(size=size, blocks=blocks).eval()
    pixels, side = (32, 4) if blocks == "cifar32" else (224, 7)
    assert model.config.image_size == pixels
    with torch.inference_mode():
        features = model.forward_features(torch.zeros(1, 3, pixels, pixels))
    assert features.shape == (1, model.num_features, side, side)


@pytest.mark.parametrize(
    ("size", "parameters", "macs"),
    [
        ("small", 932_778, 16_913_024),
        ("large", 2_981_562, 59_126_016),
    ],
)
def test_networks_for_32_pixels_cost_what_they_should(size, parameters, macs):
    model = MobileNetV3Cifar(size=size, blocks="cifar32")
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    assert count_macs(model.eval(), model.config.image_size) == macs


def test_residual_blocks_for_32_pixels_start_as_the_identity():
    model = MobileNetV3Cifar(blocks="cifar32").eval()
    block = next(block for block in model.features.blocks if block.residual)
    inputs = torch.randn(1, block[0].in_channels, 8, 8)
    assert torch.equal(block(inputs), inputs)


def test_large_network_follows_listing_8_where_figure_1_differs():
    strides = {blocks: [row.stride for row in LAYOUTS["large", blocks].rows] for blocks in STYLES}
    assert strides["report"][12:14] == [1, 2]
    assert strides["paper"][12:14] == [2, 1]


STYLES = ("report", "paper")


@pytest.mark.parametrize("blocks", STYLES)
@pytest.mark.parametrize("size", ["small", "large"])
def test_every_parameter_gets_a_gradient(size, blocks):
    model = MobileNetV3Cifar(size=size, blocks=blocks, dropout=0.5, image_size=64)
    model(torch.randn(4, 3, 64, 64)).square().sum().backward()
    without = [name for name, value in model.named_parameters() if value.grad is None]
    assert without == []


def test_features_and_head_together_are_the_network():
    model = MobileNetV3Cifar().eval()
    inputs = torch.randn(2, 3, 64, 64)
    assert torch.equal(model(inputs), model.forward_head(model.forward_features(inputs)))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"size": "medium"}, "size"),
        ({"blocks": "v2"}, "blocks"),
        ({"dropout": 1.0}, "dropout"),
        ({"num_classes": 0}, "num_classes"),
        ({"labels": ("cat",)}, "labels"),
        ({"image_size": 16}, "image_size"),
        ({"temperature": 0.0}, "temperature"),
        ({"ood_threshold": "high"}, "ood_threshold"),
        ({"ood_score": "msp"}, "ood_score"),
        ({"ood_score": "linear", "ood_weights": [1.0] * 575}, "ood_weights must have 576 entries"),
    ],
)
def test_an_argument_out_of_bounds_is_refused_by_name(arguments, word):
    with pytest.raises(ValueError, match=word):
        MobileNetV3Cifar(**arguments)


def test_an_unknown_argument_is_refused():
    with pytest.raises(TypeError, match="droput"):
        MobileNetV3Cifar(droput=0.5)


@pytest.mark.parametrize(("value", "rounded"), [(4, 8), (22, 24), (144, 144), (18, 24), (28, 32)])
def test_squeeze_widths_are_rounded_as_the_released_code_rounds(value, rounded):
    assert round_to_multiple(value, 8) == rounded
