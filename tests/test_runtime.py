"""These tests check that onnxruntime with `model.onnx` gives the same results as PyTorch."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from mobilenetv3_cifar import MobileNetV3Cifar, ModelFolderError, OnnxClassifier, explain
from mobilenetv3_cifar.errors import VariantError


@pytest.fixture(scope="module")
def pair(exported):
    return MobileNetV3Cifar.from_pretrained(exported), OnnxClassifier.from_pretrained(exported)


@pytest.fixture(scope="module")
def images(sample):
    """Return an image of 32x32 pixels, one of 96x64 pixels and a photograph of 300x200 pixels."""
    large = np.concatenate([np.concatenate(sample[0][i : i + 3], axis=1) for i in (0, 60)])
    return [sample[0][7], Image.fromarray(large), Image.fromarray(large).resize((300, 200))]


def test_predictions_are_the_same(pair, images):
    ours, theirs = (model.predict(images, top_k=None) for model in reversed(pair))
    for prediction, expected in zip(ours, theirs, strict=True):
        assert type(prediction) is type(expected)
        assert prediction == pytest.approx(expected, abs=1e-4)
        assert prediction.ood_score == pytest.approx(expected.ood_score, rel=1e-3)
        assert prediction.probably_none == expected.probably_none


@pytest.mark.parametrize("target", [None, "cat", 8])
@pytest.mark.parametrize("method", ["gradcam", "gradcam++", "hirescam"])
def test_explanations_are_the_same(pair, images, target, method):
    for image in images:
        network, runtime = (explain(model, image, method, target) for model in pair)
        assert type(runtime) is type(network)
        np.testing.assert_allclose(runtime.heatmap, network.heatmap, atol=1e-4)
        assert (runtime.label, runtime.blank) == (network.label, network.blank)
        assert runtime.probability == pytest.approx(network.probability, abs=1e-4)
        assert runtime.peak == pytest.approx(network.peak, rel=1e-3, abs=1e-6)


def test_it_works_where_torch_cannot_be_imported(exported, tmp_path, images):
    images[1].save(tmp_path / "cat.png")
    program = f"""
import sys
for name in ("torch", "onnx", "safetensors", "huggingface_hub", "matplotlib", "cv2"):
    sys.modules[name] = None  # makes importing it raise ModuleNotFoundError
from mobilenetv3_cifar import OnnxClassifier, explain, overlay
model = OnnxClassifier.from_pretrained({str(exported)!r})
print(len(model.predict({str(tmp_path / "cat.png")!r})))
explanation = explain(model, {str(tmp_path / "cat.png")!r})
print(overlay({str(tmp_path / "cat.png")!r}, explanation.heatmap).size)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout.splitlines(), done.stderr) == (["3", "(96, 64)"], "")


def test_the_command_line_needs_no_torch_either(exported, tmp_path, images):
    images[1].save(tmp_path / "cat.png")
    (tmp_path / "empty").mkdir()
    damaged = shutil.copytree(exported, tmp_path / "damaged")
    (damaged / "model.onnx").write_bytes(b"cut short")
    program = (
        "import sys; sys.modules['torch'] = None; sys.argv = ['x', *sys.argv[1:]]; "
        "from mobilenetv3_cifar.__main__ import main; main()"
    )
    for arguments in (["predict"], ["explain", "--output", str(tmp_path / "overlay.png")]):
        command = [sys.executable, "-c", program, arguments[0], str(tmp_path / "cat.png")]
        command += [*arguments[1:], "--variant", str(exported)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    for options, error in (
        (
            ["--variant", "large-cifar"],
            "unknown variant 'large-cifar'; did you mean large-cifar32?",
        ),
        (
            ["--variant", str(tmp_path / "empty")],
            "torch is not installed: a network without model.",
        ),
        (["--variant", str(damaged)], f"{damaged / 'model.onnx'} is refused: "),
        (
            ["--revision", "main"],
            "torch is not installed: a network without model.onnx, and --device",
        ),
    ):
        command = [sys.executable, "-c", program, "predict", str(tmp_path / "cat.png"), *options]
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert done.stderr.startswith(f"error: {error}")


@pytest.mark.parametrize(("settings", "change"), [({}, 1), ({"temperature": 10.0}, 0)])
def test_a_file_of_other_weights_or_settings_is_refused(exported, tmp_path, settings, change):
    copied = shutil.copytree(exported, tmp_path / "other")
    network = MobileNetV3Cifar.from_pretrained(copied, **settings)
    network.head[-1].bias.data += change
    network.save_pretrained(copied)
    with pytest.raises(ModelFolderError, match="exported from other weights or settings"):
        OnnxClassifier.from_pretrained(copied)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "model.onnx",
            None,
            "damaged has no model.onnx: use MobileNetV3Cifar, or export the network",
        ),
        ("model.onnx", b"no network", "is refused"),
        ("config.json", b"{}", "missing keys"),
    ],
)
def test_a_missing_or_damaged_file_is_named(exported, tmp_path, name, content, message):
    copied = shutil.copytree(exported, tmp_path / "damaged")
    (copied / name).unlink()
    if content is not None:
        (copied / name).write_bytes(content)
    with pytest.raises(ModelFolderError, match=message) as caught:
        OnnxClassifier.from_pretrained(copied)
    assert name in str(caught.value)


@pytest.mark.parametrize("name", ["resnet", "a" * 5000, "a\0b", "\udcff"])
def test_an_unknown_name_lists_the_variants(name):
    with pytest.raises(VariantError, match="shipped: "):
        OnnxClassifier.from_pretrained(name)
