"""These tests fit the linear out-of-distribution score to made-up photographs."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from mobilenetv3_cifar import MobileNetV3Cifar, push
from mobilenetv3_cifar.variants import variants_folder
from tests.tiny import tiny_dataset
from training import outliers
from training.errors import DataError
from training.reports.schema import read_metrics

NAME = "small-cifar32"
NOT_A_CLASS = "n07749582"  # lemon


@pytest.fixture
def folder(tmp_path, sample, monkeypatch):
    """Return a small Tiny ImageNet, in which lemons are noise and all others are from CIFAR-10."""
    monkeypatch.setattr(outliers, "IMAGES_PER_ID", {True: 3, False: 40})
    listed = json.loads(outliers.PHOTOGRAPHS.read_text())
    random, labels = np.random.default_rng(0), list(MobileNetV3Cifar().config.labels)
    words = {word: label for label, each in listed["classes"].items() for word in each}
    for word, label in (words | {NOT_A_CLASS: None, listed["similar"][0]: None}).items():
        images = tmp_path / "tiny" / "train" / word / "images"
        images.mkdir(parents=True)
        for number in range(4 if label else 41):
            noise = random.integers(0, 256, (64, 64, 3), np.uint8)
            row = labels.index(label or "cat") + 10 * number
            Image.fromarray(sample[0][row] if label else noise).save(
                images / f"{word}_{number}.JPEG"
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


def test_a_folder_without_the_photographs_is_refused(folder, monkeypatch):
    shutil.rmtree(folder / "train" / "n02123045")
    refused = "is not Tiny ImageNet: it has no folder train/n02123045"
    with pytest.raises(DataError, match=refused):
        outliers.read_photographs(folder)
    monkeypatch.setattr("sys.argv", ["outliers", NAME, str(folder)])
    with pytest.raises(SystemExit, match=f"error: .*{refused}"):
        outliers.main()


def test_sources_and_labels_count_equally_whatever_their_numbers():
    """Each of the features 0 to 2 is higher for one group of images of the classes."""
    groups = (
        [("a", "cat")] * 600 + [("b", "cat")] * 20 + [("b", "dog")] * 60 + [("b", "none")] * 900
    )
    features = np.random.default_rng(0).normal(size=(len(groups), 4)).astype(np.float32)
    for feature, part in enumerate((slice(0, 600), slice(600, 620), slice(620, 680))):
        features[part, feature] += 1.5
    weights = np.array(outliers.fit_weights(features, groups))
    assert weights[0] == pytest.approx(weights[1:3].sum(), rel=0.4)
    assert weights[1] == pytest.approx(weights[2], rel=0.4)
    assert abs(weights[3]) < weights[:3].min() / 2
    assert (features[:680] @ weights).std() == pytest.approx(1, abs=0.01)


def test_the_folder_gets_the_score_and_loses_its_onnx_files(folder, tmp_path):
    copied = shutil.copytree(variants_folder() / NAME, tmp_path / NAME)
    MobileNetV3Cifar.from_pretrained(copied, ood_threshold=None).save_pretrained(copied)
    before = read_metrics(copied / "metrics.json")
    data = tiny_dataset()
    said = outliers.fit_score(copied, data, outliers.read_photographs(folder))
    model, found = MobileNetV3Cifar.from_pretrained(copied), read_metrics(copied / "metrics.json")
    assert model.config.ood_score == "linear"
    assert len(model.config.ood_weights) == 576
    flagged = [each.probably_none for each in model.predict(list(data.validation.images))]
    assert found["validation"]["unsure"] == np.mean(flagged) == pytest.approx(0.05, abs=0.011)
    assert said == f"{100 * found['test']['unsure']:.2f} % of the test images are flagged"
    noise = np.random.default_rng(1).integers(0, 256, (20, 32, 32, 3), np.uint8)
    assert all(each.probably_none for each in model.predict(noise))
    assert found["outliers"] | {"commit": ""} == {
        **{"cifar10": 192, "known": 60, "none": 40, "source": "Tiny ImageNet", "commit": ""}
    }
    assert before["test"]["accuracy"] == found["test"]["accuracy"]
    assert not list(copied.glob("*.onnx"))
    assert not {"latency", "int8"} & found.keys()
    push.check(copied, "owner/name", None)  # the metrics fit the new config
    card = (copied / "README.md").read_text()
    assert "60 photographs of Tiny ImageNet that show one of the classes and 40 that show none" in (
        " ".join(card.split())
    )
