"""These tests compare activation maps with expected ones and check that networks stay unchanged."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from typing import get_args

import matplotlib
import numpy as np
import pytest
import pytorch_grad_cam
import torch
from PIL import Image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from mobilenetv3_cifar import MobileNetV3Cifar, explain, overlay
from mobilenetv3_cifar.architecture import LAYOUTS
from mobilenetv3_cifar.explanation import METHODS, Method, colour
from mobilenetv3_cifar.images import open_image
from mobilenetv3_cifar.preprocessing import to_input


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return MobileNetV3Cifar().eval()


@pytest.fixture(scope="module")
def image(sample):
    return Image.fromarray(sample[0][0]).resize((90, 60))


def bright_corner():
    """Return an image that is white in the upper left quarter and black elsewhere."""
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:16, :16] = 255
    return pixels


class Brightness(MobileNetV3Cifar):
    """A model with one feature, brightness. It is evidence for class 3 and for no other class."""

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
    explanation = explain(Brightness().eval(), bright_corner(), method=method, target=3)
    corner, rest = explanation.heatmap[:11, :11], explanation.heatmap[20:, 20:]
    assert corner.min() > 0.8
    assert rest.max() < 0.1


def test_a_class_without_evidence_has_a_blank_map():
    explanation = explain(Brightness().eval(), bright_corner(), target="ship")
    assert explanation.blank
    assert not explanation.heatmap.any()


@pytest.mark.parametrize("method", get_args(Method))
def test_a_map_has_the_images_size_and_spans_0_to_1(model, image, method):
    explanation = explain(model, image, method=method)
    assert explanation.heatmap.shape == (60, 90)
    assert explanation.heatmap.dtype == np.float32
    assert explanation.heatmap.min() >= 0
    assert explanation.blank or explanation.heatmap.max() == pytest.approx(1)


def test_the_default_target_is_the_predicted_class(model, image):
    (label, probability), *_ = model.predict(image).items()
    explanation = explain(model, image)
    assert explanation.label == label
    assert explanation.probability == pytest.approx(probability, abs=1e-5)


def test_explain_and_predict_give_the_same_probabilities(model, image):
    assert explain(model, image).probabilities == model.predict(image, top_k=None)


def test_label_and_index_are_the_same_target(model, image):
    by_label, by_index = (explain(model, image, target=target) for target in ("deer", 4))
    assert by_label.label == by_index.label == "deer"
    assert np.array_equal(by_label.heatmap, by_index.heatmap)


@pytest.mark.parametrize("size", ["small", "large"])
def test_layers_run_from_fine_to_coarse_and_all_can_be_explained(size, image):
    model = MobileNetV3Cifar(size=size).eval()
    sides = {}
    for name in model.layers():
        module = model.get_submodule(name)
        hook = module.register_forward_hook(
            lambda m, i, output: sides.update({m: output.shape[-1]})
        )
        explain_at = explain(model, image, layer=name, target=0)
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
def test_an_unknown_choice_is_refused_with_the_valid_choices(model, image, arguments, word):
    with pytest.raises(ValueError, match=word):
        explain(model, image, **arguments)


def test_the_network_is_left_as_it_was_found(image):
    model = MobileNetV3Cifar(dropout=0.5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    explain(model, image)
    assert model.training
    assert all(value.grad is None and value.requires_grad for value in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_maps_made_concurrently_equal_maps_made_one_by_one(model, image):
    jobs = [(model, image, "gradcam", target) for target in range(6)]
    expected = [explain(*job).heatmap for job in jobs]
    with ThreadPoolExecutor(3) as pool:
        concurrent = [result.heatmap for result in pool.map(lambda job: explain(*job), jobs)]
    assert all(np.array_equal(one, other) for one, other in zip(expected, concurrent, strict=True))


def test_overlay_at_opacity_0_is_the_image_and_at_1_the_colours_of_the_map(image):
    heatmap = np.zeros((60, 90), np.float32)
    heatmap[:, 45:] = 1
    assert np.array_equal(overlay(image, heatmap, 0), image)
    painted = np.asarray(overlay(image, heatmap, 1))
    assert np.array_equal(painted, colour(heatmap))


def test_colours_grow_lighter_evenly_and_are_matplotlibs_inferno():
    ramp = colour(np.linspace(0, 1, 256, dtype=np.float32)[None])[0].astype(int)
    lightness = ramp @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(lightness) > -1).all()
    assert lightness[-1] - lightness[0] > 240
    theirs = matplotlib.colormaps["inferno"](np.arange(256), bytes=True)[:, :3].astype(int)
    assert np.abs(ramp - theirs).max() < 10


@pytest.mark.parametrize("target", [0, 3, 8])
def test_the_map_is_laid_over_the_whole_photograph(photograph, target):
    model = MobileNetV3Cifar.from_pretrained("small-dropout0.7-epochs4")
    features = model.forward_features(model.preprocess(photograph)).detach().requires_grad_()
    model.forward_head(features)[0, target].backward()
    weights = features.grad.mean(dim=(2, 3), keepdim=True)
    values = (weights * features.detach()).sum(1)[0].relu().numpy()
    expected = np.asarray(Image.fromarray(values).resize((150, 96), Image.Resampling.BILINEAR))
    explanation = explain(model, photograph, target=target)
    np.testing.assert_allclose(explanation.heatmap, expected / expected.max(), atol=1e-5)
    assert explanation.peak == pytest.approx(expected.max(), rel=1e-4)


LIBRARY = {
    "gradcam": pytorch_grad_cam.GradCAM,
    "gradcam++": pytorch_grad_cam.GradCAMPlusPlus,
    "layercam": pytorch_grad_cam.LayerCAM,
    "hirescam": pytorch_grad_cam.HiResCAM,
    "eigencam": pytorch_grad_cam.EigenCAM,
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("layer", ["features", "features.blocks.7"])
def test_maps_match_pytorch_grad_cam(model, sample, method, layer):
    square = Image.fromarray(sample[0][0]).resize((224, 224))
    evidence = model.evidence([square], 3, layer)
    ours = METHODS[method].compute(evidence.activations, evidence.gradients)
    network, targets = deepcopy(model), [ClassifierOutputTarget(3)]
    inputs = to_input([square], model.config.mean, model.config.std)
    module = network.get_submodule(layer)
    with LIBRARY[method](model=network, target_layers=[module]) as cam, torch.enable_grad():
        cam(input_tensor=inputs, targets=targets)
        hooks = cam.activations_and_grads
        activations = hooks.activations[0].numpy()
        gradients = hooks.gradients[0].numpy() if cam.uses_gradients else None
        theirs = cam.get_cam_image(inputs, module, targets, activations, gradients, False)
    if method == "eigencam" and (ours * theirs).sum() < 0:
        theirs = -theirs  # an eigenvector's sign is arbitrary
    np.testing.assert_allclose(ours, theirs[0], atol=1e-4 * np.abs(theirs).max())


def test_networks_of_any_number_of_strides_can_be_explained(image, monkeypatch):
    rows = LAYOUTS["small", "report"].rows
    for strides in ([], [0], [3, 8], [0, 1, 3, 5, 8]):
        changed = [row._replace(stride=1 + (i in strides)) for i, row in enumerate(rows)]
        layout = LAYOUTS["small", "report"]._replace(rows=changed)
        monkeypatch.setitem(LAYOUTS, ("small", "report"), layout)
        model = MobileNetV3Cifar(image_size=64).eval()
        names = model.layers()
        assert len(names) == min(4, 1 + len(strides))
        assert names[-1] == "features"
        for name in names:
            assert explain(model, image, layer=name).heatmap.shape == (60, 90)


@pytest.mark.parametrize("blocks", ["report", "paper", "cifar32"])
def test_every_kind_of_network_can_be_explained(blocks, image):
    model = MobileNetV3Cifar(blocks=blocks).eval()
    assert explain(model, image, layer=model.layers()[0]).heatmap.shape == (60, 90)


def test_the_network_runs_once_and_is_not_copied(model, image, monkeypatch):
    runs = []
    hook = model.features.stem.register_forward_hook(lambda *_: runs.append(1))
    monkeypatch.setattr("copy.deepcopy", lambda *_: pytest.fail("copied"))
    explain(model, image)
    hook.remove()
    assert runs == [1]


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_overlay_turns_a_photograph_as_the_map_was_turned(model, image, tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "turned.png", exif=exif)
    photograph = Image.open(tmp_path / "turned.png").convert("RGB")
    heatmap = explain(model, photograph).heatmap
    upright = open_image(tmp_path / "turned.png")
    assert np.array_equal(overlay(photograph, heatmap, 0), upright)


def test_importing_the_package_brings_none_of_the_heavy_libraries():
    heavy = {"torch", "huggingface_hub", "numpy", "PIL", "gradio", "matplotlib", "training"}
    code = f"import sys, mobilenetv3_cifar; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
