"""The exported file answers as the network does, and says by itself how to be used."""

import json

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from mobilenetv3_cifar import MobileNetV3Cifar, export
from mobilenetv3_cifar.export import ExportError, export_onnx, run_onnx


@pytest.fixture(scope="module")
def model():
    """Untrained, with batch-norm statistics and head large enough to tell pictures apart."""
    torch.manual_seed(0)
    network = MobileNetV3Cifar(image_size=64, temperature=1.5)
    for _ in range(20):
        network(torch.randn(8, 3, 64, 64))
    network.head[3].weight.data *= 50
    return network


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    export_onnx(model, path)
    return path


def test_the_file_gives_the_networks_logits_for_any_batch_size(model, exported):
    inputs = torch.randn(5, 3, 64, 64)
    with torch.no_grad():
        expected = model.eval()(inputs).numpy()
    model.train()
    assert np.abs(expected).max() > 0.1  # large enough for a difference to show
    for size in (1, 2, 5):
        batches = np.split(inputs.numpy(), range(size, 5, size))
        np.testing.assert_allclose(run_onnx(exported.read_bytes(), batches), expected, atol=1e-4)


def test_the_file_alone_is_enough_to_classify_a_picture(model, exported, sample):
    picture = Image.fromarray(sample[0][7])
    facts = {p.key: json.loads(p.value) for p in onnx.load(exported).metadata_props}
    size = facts["image_size"]
    pixels = np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR), dtype=np.float32)
    inputs = ((pixels / 255 - facts["mean"]) / facts["std"]).astype(np.float32)
    logits = run_onnx(exported.read_bytes(), [inputs.transpose(2, 0, 1)[None]])[0]
    powers = np.exp(logits / facts["temperature"])
    probabilities = dict(zip(facts["labels"], powers / powers.sum(), strict=True))
    assert probabilities == pytest.approx(model.predict(picture, top_k=None), abs=1e-5)


def test_exporting_leaves_the_network_as_it_was(model, exported):
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_file_that_would_answer_otherwise_is_not_written(model, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "trace", lambda network: b"")
    monkeypatch.setattr(export, "run_onnx", lambda content, inputs: np.zeros((4, 10)))
    with pytest.raises(ExportError, match=r"model\.onnx is not written: its logits would differ"):
        export_onnx(model, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_int8_is_a_third_the_size_and_answers_nearly_alike(
    model, exported, tmp_path, sample, monkeypatch
):
    monkeypatch.setattr(export, "trace", lambda network: exported.read_bytes())  # once is enough
    export_onnx(model, tmp_path / "int8.onnx", int8_images=sample[0][:64])
    content = (tmp_path / "int8.onnx").read_bytes()
    assert len(content) < exported.stat().st_size / 3
    inputs = [model.preprocess(image).numpy() for image in sample[0][200:240]]
    exact, coarse = (run_onnx(file, inputs) for file in (exported.read_bytes(), content))
    assert np.corrcoef(exact.ravel(), coarse.ravel())[0, 1] > 0.98
    assert {p.key for p in onnx.load_from_string(content).metadata_props} >= {"labels", "mean"}
