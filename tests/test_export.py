"""These tests compare the outputs and metadata of exported ONNX files with the network."""

import json
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from mobilenetv3_cifar import MobileNetV3Cifar, export
from mobilenetv3_cifar.export import ExportError, export_onnx
from mobilenetv3_cifar.files import replace_files
from mobilenetv3_cifar.runtime import open_session, run_onnx


@pytest.fixture(scope="module")
def model(exported):
    return MobileNetV3Cifar.from_pretrained(exported)


@pytest.fixture(scope="module")
def path(exported):
    return exported / "model.onnx"


@pytest.fixture(scope="module")
def session(path):
    return open_session(path.read_bytes())


@pytest.fixture(scope="module")
def images(sample):
    return sample[0][100:106]


def inputs_of(model, images):
    return torch.stack([model.transform()(image) for image in images])


def test_any_batch_size_gives_the_networks_answers(model, session, images):
    with torch.no_grad():
        expected = model(inputs_of(model, images)).numpy()
    assert np.ptp(expected) > 0.5  # if all logits were about equal, wrong logits could pass
    for size in (1, 2, 6):
        for part, rows in zip(
            np.split(images, 6 // size), np.split(expected, 6 // size), strict=True
        ):
            outputs = run_onnx(session, part)
            np.testing.assert_allclose(outputs["logits"], rows, atol=1e-4)
            for image, row in zip(part, outputs["probabilities"], strict=True):
                predicted = model.predict(image, top_k=None)
                assert dict(zip(model.config.labels, row, strict=True)) == pytest.approx(
                    predicted, abs=1e-5
                )


def test_onnxruntime_and_predict_give_similar_ood_scores(model, session, images):
    scores = run_onnx(session, images)["ood_score"]
    expected = [prediction.ood_score for prediction in model.predict(images)]
    spread = np.ptp(expected)
    assert spread > 0
    # With this tolerance, equal scores for all images would fail.
    np.testing.assert_allclose(scores, expected, rtol=0, atol=spread / 4)


def test_the_maps_match_pytorch_grad_cam(model, session, images):
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    inputs, shown = inputs_of(model, images), 0
    with GradCAM(model=model, target_layers=[model.features]) as cam:
        for target in range(-1, 10):
            targets = None if target < 0 else [ClassifierOutputTarget(target)] * len(images)
            expected = cam(input_tensor=inputs, targets=targets)
            maps = run_onnx(session, images, target)["activation_map"]
            np.testing.assert_allclose(maps, expected, atol=1e-4)
            shown += expected.max() > 0.9  # maps are blank for a target without positive evidence
    assert shown >= 3


def test_every_value_of_the_metadata_is_json_and_complete(model, path):
    facts = {p.key: json.loads(p.value) for p in onnx.load(path).metadata_props}
    for name in ("image_size", "temperature", "ood_score", "ood_threshold"):
        assert facts[name] == getattr(model.config, name)
    for name in ("labels", "mean", "std"):
        assert tuple(facts[name]) == getattr(model.config, name)
    assert facts["interpolation"] == "bilinear"
    assert facts["native_size"] == 32
    graph = onnx.load(path).graph
    assert facts["inputs"].keys() == {each.name for each in graph.input}
    assert facts["outputs"].keys() == {each.name for each in graph.output}
    assert facts["inputs"]["images"]["layout"] == "NHWC"
    assert facts["ood_score"] in facts["ood_formulas"]
    assert facts["ood_formulas"].keys() == {"confidence", "energy", "linear"}
    assert tuple(facts.get("ood_weights", ())) == model.config.ood_weights


def test_the_file_names_no_path_of_the_machine_that_wrote_it(path):
    content = path.read_bytes()
    assert str(Path(export.__file__).parent).encode() not in content
    assert b".py" not in content


def test_exporting_leaves_the_network_as_it_was(tmp_path, monkeypatch):
    def changed(network):
        for parameter in network.parameters():
            parameter.zero_()
        return onnx.ModelProto()

    monkeypatch.setattr(export, "trace", changed)
    monkeypatch.setattr(export, "compare", lambda network, content: 0)
    monkeypatch.setattr("onnx.checker.check_model", lambda proto: None)
    network = MobileNetV3Cifar(blocks="cifar32")
    export_onnx(network, tmp_path / "model.onnx")
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert network.head[-1].weight.any()


def test_a_file_that_would_answer_differently_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "trace", lambda network: onnx.ModelProto())
    monkeypatch.setattr("onnx.checker.check_model", lambda proto: None)
    monkeypatch.setattr(export, "compare", lambda network, content: 0.5)
    with pytest.raises(ExportError, match=r"model\.onnx is not written: its logits would differ"):
        export_onnx(MobileNetV3Cifar(blocks="cifar32"), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_callers_settings_and_torch_compile_change_no_byte(model, path, tmp_path):
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"), torch.autocast("cpu", torch.bfloat16):
            export_onnx(torch.compile(model, backend="eager"), tmp_path / "model.onnx")
    finally:
        torch.set_default_dtype(torch.float32)
    assert (tmp_path / "model.onnx").read_bytes() == path.read_bytes()


def test_a_fifo_or_device_is_not_replaced(model, tmp_path, monkeypatch):
    fifo = tmp_path / "model.onnx"
    os.mkfifo(fifo)
    with pytest.raises(ExportError, match=r"model\.onnx cannot be written: not a regular file"):
        export_onnx(model, fifo)
    monkeypatch.setattr(Path, "is_block_device", lambda path: path == fifo)
    with pytest.raises(OSError, match="a device, not a regular file"):
        replace_files(tmp_path, {"a.txt": b"a", fifo.name: b"b"})
    assert fifo.is_fifo()
    assert list(tmp_path.iterdir()) == [fifo]


@pytest.mark.parametrize(
    "images", [np.zeros(shape, np.uint8) for shape in ((0, 32, 32, 3), (1, 224, 224, 3))]
)
def test_wrong_images_for_the_8_bit_file_are_refused_at_once(model, tmp_path, images):
    with pytest.raises(ValueError, match=r"int8_images must be uint8 of shape \(N, 32, 32, 3\)"):
        export_onnx(model, tmp_path / "model.onnx", images)
