"""Activation maps: where they point, their size and range, and a network left as it was found."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image

from mobilenetv3_cifar import MobileNetV3Cifar, explain, overlay
from mobilenetv3_cifar.explanation import Method, layers
from mobilenetv3_cifar.images import open_image


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return MobileNetV3Cifar().eval()


@pytest.fixture(scope="module")
def picture(sample):
    return Image.fromarray(sample[0][0]).resize((90, 60))


def bright_corner():
    """White in the upper left quarter, black elsewhere."""
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:16, :16] = 255
    return pixels


class Brightness(MobileNetV3Cifar):
    """Whose only feature is the brightness of each place, and only evidence for class 3."""

    def __init__(self):
        super().__init__()
        self.features.blocks = torch.nn.Sequential()
        self.features.last_se = torch.nn.AvgPool2d(32)
        for name in ("stem", "stem_norm", "stem_activation", "last", "last_norm"):
            setattr(self.features, name, torch.nn.Identity())
        self.features.last_activation = torch.nn.ReLU()
        self.head = torch.nn.Conv2d(3, 10, 1, bias=False)
        torch.nn.init.zeros_(self.head.weight)
        torch.nn.init.ones_(self.head.weight[3])


@pytest.mark.parametrize("method", ["gradcam", "hirescam", "layercam", "gradcam++"])
def test_the_map_points_at_the_evidence(method):
    found = explain(Brightness().eval(), bright_corner(), method=method, target=3)
    corner, rest = found.heatmap[:11, :11], found.heatmap[20:, 20:]
    assert corner.min() > 0.8
    assert rest.max() < 0.1


def test_a_class_without_evidence_has_a_blank_map():
    found = explain(Brightness().eval(), bright_corner(), target="ship")
    assert found.blank
    assert not found.heatmap.any()


@pytest.mark.parametrize("method", get_args(Method))
def test_a_map_has_the_pictures_size_and_spans_0_to_1(model, picture, method):
    found = explain(model, picture, method=method)
    assert found.heatmap.shape == (60, 90)
    assert found.heatmap.dtype == np.float32
    assert found.heatmap.min() >= 0
    assert found.blank or found.heatmap.max() == pytest.approx(1, abs=0.05)


def test_the_default_target_is_the_predicted_class(model, picture):
    (label, probability), *_ = model.predict(picture).items()
    found = explain(model, picture)
    assert found.label == label
    assert found.probability == pytest.approx(probability, abs=1e-5)


def test_the_probabilities_of_all_classes_are_those_that_predict_gives(model, picture):
    assert explain(model, picture).probabilities == model.predict(picture, top_k=None)


def test_label_and_index_are_the_same_target(model, picture):
    by_label, by_index = (explain(model, picture, target=target) for target in ("deer", 4))
    assert by_label.label == by_index.label == "deer"
    assert np.array_equal(by_label.heatmap, by_index.heatmap)


@pytest.mark.parametrize("size", ["small", "large"])
def test_layers_run_from_fine_to_coarse_and_all_can_be_explained(size, picture):
    model = MobileNetV3Cifar(size=size).eval()
    sides = {}
    for name in layers(model):
        module = model.get_submodule(name)
        hook = module.register_forward_hook(
            lambda m, i, output: sides.update({m: output.shape[-1]})
        )
        explain_at = explain(model, picture, layer=name, target=0)
        hook.remove()
        assert explain_at.heatmap.shape == (60, 90)
    assert list(sides.values()) == [56, 28, 14, 7]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"method": "magic"}, "gradcam"),
        ({"target": "whale"}, "truck"),
        ({"target": 10}, "10"),
        ({"layer": "features.last"}, "features"),
    ],
)
def test_an_unknown_choice_is_refused_with_the_choices_there_are(model, picture, arguments, word):
    with pytest.raises(ValueError, match=word):
        explain(model, picture, **arguments)


def test_the_network_is_left_as_it_was_found(picture):
    model = MobileNetV3Cifar(dropout=0.5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    explain(model, picture)
    assert model.training
    assert all(value.grad is None and value.requires_grad for value in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_maps_made_at_once_are_those_made_one_by_one(model, picture):
    jobs = [(model, picture, "gradcam", target) for target in range(6)]
    expected = [explain(*job).heatmap for job in jobs]
    with ThreadPoolExecutor(3) as pool:
        found = [result.heatmap for result in pool.map(lambda job: explain(*job), jobs)]
    assert all(np.array_equal(one, other) for one, other in zip(expected, found, strict=True))


def test_overlay_at_opacity_0_is_the_picture_and_at_1_the_colours_of_the_map(picture):
    heatmap = np.zeros((60, 90), np.float32)
    heatmap[:, 45:] = 1
    assert np.array_equal(overlay(picture, heatmap, 0), picture)
    cold, hot = (np.asarray(overlay(picture, heatmap, 1))[0, x].astype(int) for x in (0, 89))
    assert hot[0] > hot[2]  # red where the evidence is
    assert cold[2] > cold[0]  # blue where none is


@pytest.mark.parametrize("target", range(10))
def test_of_a_photograph_the_region_is_explained_that_is_surest_of_the_class(target):
    model = MobileNetV3Cifar.from_pretrained("small-dropout0.7-epochs4")
    noise = np.random.default_rng(0).integers(0, 256, (3, 5, 3), np.uint8)
    photograph = Image.fromarray(noise).resize((150, 96), Image.Resampling.BICUBIC)
    found = explain(model, photograph, target=target)
    boxes = [(0, 0, 150, 96), (27, 0, 123, 96), (22, 14, 127, 81)]
    with torch.inference_mode():
        logits = torch.cat([model(model.preprocess(photograph.crop(box))) for box in boxes])
    sure = (logits / model.config.temperature).softmax(1)[:, target]
    assert found.box == boxes[sure.argmax()]
    left, top, right, bottom = found.box
    inside = found.heatmap[top:bottom, left:right]
    assert np.count_nonzero(inside) == np.count_nonzero(found.heatmap)
    assert found.blank or inside.max() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_overlay_turns_a_photograph_as_the_map_was_turned(model, picture, tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(tmp_path / "turned.png", exif=exif)
    photograph = Image.open(tmp_path / "turned.png").convert("RGB")
    heatmap = explain(model, photograph).heatmap
    upright = open_image(tmp_path / "turned.png")
    assert np.array_equal(overlay(photograph, heatmap, 0), upright)


def test_maps_are_the_same_where_the_caller_wants_no_gradients(model, picture):
    expected = explain(model, picture).heatmap
    with torch.inference_mode():
        assert np.array_equal(explain(model, picture).heatmap, expected)


def test_importing_the_package_brings_none_of_the_heavy_libraries():
    heavy = (
        "{'gradio', 'matplotlib', 'sklearn', 'cv2', 'pytorch_grad_cam', 'training', 'accelerate'}"
    )
    code = f"import sys, mobilenetv3_cifar; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
