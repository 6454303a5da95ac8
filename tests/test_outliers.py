"""These tests fit the linear out-of-distribution score to made-up photographs."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from mobilenetv3_cifar import MobileNetV3Cifar, push
from mobilenetv3_cifar.variants import variants_folder
from tests.tiny import tiny_dataset
from training import outliers
from training.reports.model_folder import install_folder
from training.reports.schema import read_metrics
from training.reports.text import to_json

NAME = "small-cifar32"
NOT_A_CLASS = "n07749582"  # lemon


@pytest.fixture
def folder(tmp_path, sample, monkeypatch):
    """Return a small Tiny ImageNet, in which lemons are noise and all others are from CIFAR-10."""
    for name, number in (("KNOWN_PER_ID", 3), ("OTHER_PER_ID", 40), ("IDS", 22)):
        monkeypatch.setattr(outliers, name, number)
    listed = json.loads(outliers.PHOTOGRAPHS.read_text())
    random, labels = np.random.default_rng(0), list(MobileNetV3Cifar().config.labels)
    wnids = {wnid: label for label, each in listed["classes"].items() for wnid in each}
    for wnid, label in (wnids | {NOT_A_CLASS: None, listed["similar"][0]: None}).items():
        images = tmp_path / "tiny" / "train" / wnid / "images"
        images.mkdir(parents=True)
        for number in range(4 if label else 41):
            noise = random.integers(0, 256, (64, 64, 3), np.uint8)
            row = labels.index(label or "cat") + 10 * number
            Image.fromarray(sample[0][row] if label else noise).save(
                images / f"{wnid}_{number}.JPEG"
            )
    return tmp_path / "tiny"


def test_each_photograph_is_read_with_its_label(folder):
    images, labels = outliers.read_photographs(folder)
    assert images.shape == (20 * 3 + 40, 32, 32, 3)
    assert images.dtype == np.uint8
    assert {label: labels.count(label) for label in labels} == {
        **{"automobile": 12, "bird": 12, "cat": 9, "dog": 18, "frog": 6, "truck": 3},
        "none": 40,
    }
    listed = json.loads(outliers.PHOTOGRAPHS.read_text())
    frogs = folder / "train" / "n01641577" / "images"
    (frogs / "n01641577_1.JPEG").rename(frogs / listed["excluded"][0])
    assert len(outliers.read_photographs(folder)[1]) == 20 * 3 + 40 - 1


def test_a_folder_that_is_not_or_only_partly_tiny_imagenet_is_refused(folder, monkeypatch):
    monkeypatch.setattr("sys.argv", ["outliers", NAME, str(folder)])
    monkeypatch.setattr(outliers, "load", lambda *arguments: tiny_dataset())
    lemons = folder / "train" / NOT_A_CLASS / "images"
    (lemons / f"{NOT_A_CLASS}_0.JPEG").write_bytes(b"no image")
    with pytest.raises(SystemExit, match=f"error: '{NOT_A_CLASS}_0.JPEG' is not an image"):
        outliers.main()
    for path in sorted(lemons.iterdir())[:2]:
        path.unlink()
    with pytest.raises(SystemExit, match=f"incomplete: train/{NOT_A_CLASS} has only 39 images"):
        outliers.main()
    shutil.rmtree(folder / "train" / "n02123045")
    with pytest.raises(
        SystemExit, match=r"error: .* is not Tiny ImageNet: it must have 22 folders"
    ):
        outliers.main()


def test_only_our_own_networks_can_be_chosen(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["outliers", "small-dropout0.7-epochs4", "tiny"])
    with pytest.raises(SystemExit):
        outliers.main()
    assert "(choose from " in capsys.readouterr().err
    assert {"small-cifar32", "large-cifar32"} <= {*outliers.OWN}
    assert "small-dropout0.7-epochs4" not in outliers.OWN


def test_sources_and_labels_count_equally_whatever_their_numbers():
    """Features 0, 1 and 2 are each higher for the images of one source and label."""
    groups = (
        [("a", "cat")] * 600 + [("b", "cat")] * 20 + [("b", "dog")] * 60 + [("b", "none")] * 900
    )
    features = np.random.default_rng(0).normal(size=(len(groups), 5)).astype(np.float32)
    features[:, 4] = 0.1  # a constant feature
    for feature, part in enumerate((slice(0, 600), slice(600, 620), slice(620, 680))):
        features[part, feature] += 1.5
    weights = np.array(outliers.fit_weights(features, groups))
    assert weights[0] == pytest.approx(weights[1:3].sum(), rel=0.4)
    assert weights[1] == pytest.approx(weights[2], rel=0.4)
    assert abs(weights[3]) < weights[:3].min() / 2
    assert weights[4] == 0
    assert (features[:680] @ weights).std() == pytest.approx(1, abs=0.01)


def test_the_folder_gets_the_score_and_loses_its_onnx_files(folder, tmp_path):
    copied = shutil.copytree(variants_folder() / NAME, tmp_path / NAME)
    MobileNetV3Cifar.from_pretrained(copied, ood_threshold=None).save_pretrained(copied)
    before = read_metrics(copied / "metrics.json")
    del before["outliers"], before["latency"], before["int8"]
    weights, data = (copied / "model.safetensors").read_bytes(), tiny_dataset()
    summary = outliers.fit_score(copied, data, outliers.read_photographs(folder))
    model, metrics = MobileNetV3Cifar.from_pretrained(copied), read_metrics(copied / "metrics.json")
    assert model.config.ood_score == "linear"
    assert len(model.config.ood_weights) == 576
    flagged = [each.probably_none for each in model.predict(list(data.validation.images))]
    assert metrics["validation"]["flagged"] == np.mean(flagged) == pytest.approx(0.05, abs=0.011)
    assert summary == f"{100 * metrics['test']['flagged']:.2f} % of the test images are flagged"
    noise = np.random.default_rng(1).integers(0, 256, (20, 32, 32, 3), np.uint8)
    assert all(each.probably_none for each in model.predict(noise))
    assert {key: metrics["outliers"][key] for key in ("cifar10", "known", "none")} == {
        **{"cifar10": 192, "known": 60, "none": 40}
    }
    for split in ("train", "validation", "test"):  # nothing else was measured again
        assert before[split] | {"flagged": 0} == metrics[split] | {"flagged": 0}
    assert (copied / "model.safetensors").read_bytes() == weights
    assert not list(copied.glob("*.onnx"))
    assert not {"latency", "int8"} & metrics.keys()
    push.check(copied, "owner/name", None)  # the metrics fit the new config
    card = (copied / "README.md").read_text()
    assert "60 photographs from Tiny ImageNet that show an automobile, bird, cat, dog" in card
    assert "and on 40 photographs from Tiny ImageNet that show none of the ten classes" in card
    assert "An image with a linear score below " in card

    # The same training run is published again, with the score that the trainer fits.
    (copied / "model.onnx").touch()
    staged = tmp_path / "staged"
    plain = {"ood_score": "confidence", "ood_weights": (), "ood_threshold": 0.5}
    model.config = dataclasses.replace(model.config, **plain)
    model.save_pretrained(staged)
    (staged / "metrics.json").write_bytes(to_json(before))
    install_folder(staged, copied)
    assert MobileNetV3Cifar.from_pretrained(copied).config.ood_score == "linear"
    assert read_metrics(copied / "metrics.json") == metrics
    (copied / "model.onnx").unlink()  # still there
    push.check(copied, "owner/name", None)

    # A publication that was killed before it wrote metrics.json is repaired by the next one.
    shutil.copy(staged / "config.json", copied)
    install_folder(staged, copied)
    assert read_metrics(copied / "metrics.json") == before
    assert MobileNetV3Cifar.from_pretrained(copied).config.ood_score == "confidence"
    (copied / "config.json").write_text("")
    install_folder(staged, copied)
    MobileNetV3Cifar.from_pretrained(copied)
