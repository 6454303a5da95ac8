"""These tests make the ONNX files of a shipped variant, and measure their accuracy and latency."""

import json
import shutil

import pytest
import torch

from mobilenetv3_cifar import MobileNetV3Cifar, OnnxClassifier, push
from mobilenetv3_cifar.runtime import open_session, run_onnx
from mobilenetv3_cifar.variants import variants_folder
from tests.tiny import tiny_dataset
from training import quantize

NAME = "small-cifar32"


@pytest.fixture
def copied(tmp_path):
    return shutil.copytree(variants_folder() / NAME, tmp_path / NAME)


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def latencies(ratio):
    return [
        {"runtime": runtime, "device": "here", "batch": 1, "milliseconds": milliseconds}
        for runtime, milliseconds in (("onnxruntime", ratio), ("onnxruntime, 8 bits", 1.0))
    ]


def test_the_8_bit_file_is_measured_and_the_card_says_so(copied, monkeypatch):
    monkeypatch.setattr(quantize, "measure_latency", lambda model, folder: latencies(1.5))
    monkeypatch.setattr(quantize, "MAX_LOSS", 1)  # accept any loss of accuracy on the 100 images
    summary = quantize.quantize(copied, tiny_dataset())
    int8 = metrics_of(copied)["int8"]
    assert int8["speedup"] == 1.5
    assert summary.startswith("1.50 times as fast as float32")
    assert summary.endswith("model-int8.onnx is kept")
    content = (copied / "model-int8.onnx").read_bytes()
    assert int8["bytes"] == len(content)
    images, labels = tiny_dataset().test
    logits = run_onnx(open_session(content), images)["logits"]
    right = int((logits.argmax(1) == labels).sum())
    assert (int8["correct"], int8["total"], int8["accuracy"]) == (right, 100, right / 100)
    difference = 100 * int8["accuracy"] - 100 * metrics_of(copied)["test"]["accuracy"]
    text = f"accuracy of **{right:.2f} %** ({difference:+.2f} points compared with the network in"
    card = (copied / "README.md").read_text()
    assert text in card
    assert "the file is 1.50 times as fast as the float32 ONNX file" in card
    assert {"model-int8.onnx", "model.onnx"} <= set(push.files_to_push(copied))
    assert OnnxClassifier.from_pretrained(copied).predict(images[0]).keys()


@pytest.mark.parametrize(("ratio", "wrong"), [(0.9, 0), (1.5, 1)])
def test_a_slower_or_less_accurate_8_bit_file_is_not_kept(copied, monkeypatch, ratio, wrong):
    """The 8-bit file is slower than the float file, or has one more error in 100 images."""
    monkeypatch.setattr(quantize, "measure_latency", lambda model, folder: latencies(ratio))
    monkeypatch.setattr(quantize, "export_onnx", lambda model, path, **_: path.touch())
    measured = []

    def logits(path, split):
        measured.append(split)
        right = torch.from_numpy(split.labels).long()
        right[:wrong] += path.name == "model-int8.onnx"
        return torch.nn.functional.one_hot(right % 10, 10).float()

    monkeypatch.setattr(quantize, "onnx_logits", logits)
    data = tiny_dataset()
    assert quantize.quantize(copied, data).endswith("model-int8.onnx is not kept")
    assert measured == [data.validation] * 2  # test images must not decide what is kept
    assert not (copied / "model-int8.onnx").exists()
    assert "int8" not in metrics_of(copied)
    text = (copied / "README.md").read_text()
    assert "8-bit ONNX file" not in text
    assert "| onnxruntime | here | 1 | " in text
    assert "| onnxruntime, 8 bits |" not in text


def test_an_interruption_leaves_the_folder_as_it_was(copied, monkeypatch):
    before = {path: path.read_bytes() for path in copied.glob("*.*")}

    def interrupted(model, folder):
        raise KeyboardInterrupt

    monkeypatch.setattr(quantize, "measure_latency", interrupted)
    monkeypatch.setattr(quantize, "export_onnx", lambda model, path, **_: path.write_bytes(b"new"))
    with pytest.raises(KeyboardInterrupt):
        quantize.quantize(copied, tiny_dataset())
    assert {path: path.read_bytes() for path in copied.glob("*.*")} == before


def test_latency_is_measured_on_one_thread_for_every_runtime_and_batch(copied, monkeypatch):
    monkeypatch.setattr(quantize, "ROUNDS", 2)
    threads = torch.get_num_threads()
    latency = quantize.measure_latency(MobileNetV3Cifar.from_pretrained(copied), copied)
    assert torch.get_num_threads() == threads
    assert [(each["runtime"], each["batch"]) for each in latency] == [
        (runtime, batch)
        for batch in (1, 64)
        for runtime in ("PyTorch", "onnxruntime", "onnxruntime, 8 bits")
    ]
    assert all(each["milliseconds"] > 0 and "1 threads" in each["device"] for each in latency)
    assert latency[3]["milliseconds"] > latency[0]["milliseconds"]
