"""These tests change the classes or settings of saved networks, as fine-tuning does."""

import numpy as np
import pytest
import torch

from mobilenetv3_cifar import MobileNetV3Cifar


def test_a_fresh_head_keeps_the_trained_body(tmp_path):
    trained = MobileNetV3Cifar(dropout=0.2)
    trained.save_pretrained(tmp_path / "model")
    model = MobileNetV3Cifar.from_pretrained(tmp_path / "model", num_classes=3)
    assert model.config.labels == ("class 0", "class 1", "class 2")
    assert model.config.dropout == 0.2
    inputs = torch.randn(2, 3, 64, 64)
    assert model(inputs).shape == (2, 3)
    features = trained.eval().forward_features(inputs)
    assert torch.equal(model.forward_features(inputs), features)
    given = {"temperature": 1.5, "ood_threshold": 0.3, "dropout": 0.1}
    named = MobileNetV3Cifar.from_pretrained(tmp_path / "model", labels=["ham", "spam"], **given)
    assert named.config.labels == ("ham", "spam")
    assert {name: getattr(named.config, name) for name in given} == given
    named.save_pretrained(tmp_path / "named")
    assert torch.equal(MobileNetV3Cifar.from_pretrained(tmp_path / "named")(inputs), named(inputs))


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"num_classes": 10**9}, "num_classes must be a whole number from 1 to 10000"),
        ({"num_classes": "3"}, "num_classes must be a whole number"),
        ({"num_classes": np.float64(2)}, "num_classes must be a whole number"),
        ({"labels": 5}, "labels must be different printable strings"),
        ({"labels": "ab"}, "labels must be different printable strings"),
        ({"labels": ["a"], "num_classes": 2}, "labels must have 2 entries, not 1"),
    ],
)
def test_invalid_classes_are_refused_with_the_rule(tmp_path, arguments, rule):
    MobileNetV3Cifar().save_pretrained(tmp_path / "model")
    with pytest.raises(ValueError, match=rule):
        MobileNetV3Cifar.from_pretrained(tmp_path / "model", **arguments)


def test_a_trained_head_is_kept_only_for_the_same_classes(tmp_path, caplog):
    trained = MobileNetV3Cifar(labels=list("abcdefghij"), temperature=2.0, ood_threshold=0.5)
    trained.save_pretrained(tmp_path / "model")
    for arguments in ({"num_classes": 10}, {"labels": list("abcdefghij")}):
        model = MobileNetV3Cifar.from_pretrained(tmp_path / "model", **arguments)
        assert torch.equal(model.head[3].weight, trained.head[3].weight)
        assert model.config == trained.config
    assert caplog.text == ""
    model = MobileNetV3Cifar.from_pretrained(tmp_path / "model", labels=list("abcdefghiX"))
    assert not torch.equal(model.head[3].weight, trained.head[3].weight)
    assert "the last layer, head.3, was replaced by an untrained one for 10 classes" in caplog.text
    assert (model.config.temperature, model.config.ood_threshold) == (1.0, None)


@pytest.mark.parametrize("blocks", ["report", "paper", "cifar32"])
def test_reset_classifier_replaces_the_last_layer_only(tmp_path, blocks):
    score = {"ood_score": "linear", "ood_weights": [0.5] * 576, "ood_threshold": 1.0}
    model = MobileNetV3Cifar(blocks=blocks, **score).half()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.reset_classifier(3, ["a", "b", "c"])
    after = model.state_dict()
    last = f"head.{len(model.head) - 1}."
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in after if last not in name)
    assert after[last + "weight"].shape[0] == 3
    assert after[last + "weight"].dtype == torch.float16
    assert model.config.labels == ("a", "b", "c")
    assert (model.config.ood_score, model.config.ood_weights) == ("confidence", ())
    model.save_pretrained(tmp_path / "model")
    assert MobileNetV3Cifar.from_pretrained(tmp_path / "model").config == model.config


def test_numbers_from_numpy_and_torch_are_accepted(tmp_path):
    model = MobileNetV3Cifar(num_classes=np.int64(2), dropout=np.float32(0.5))
    model.save_pretrained(tmp_path / "model")
    mean, labels = torch.full((3,), 0.5), np.array(["a", "b", "c"])
    loaded = MobileNetV3Cifar.from_pretrained(tmp_path / "model", mean=mean, labels=labels)
    assert (loaded.config.labels, loaded.config.mean) == (("a", "b", "c"), (0.5, 0.5, 0.5))
    loaded.reset_classifier(np.int64(4))
    assert loaded.head[3].out_channels == loaded.config.num_classes == 4


def test_settings_can_be_changed_at_load(tmp_path):
    MobileNetV3Cifar(temperature=2.0).save_pretrained(tmp_path / "model")
    model = MobileNetV3Cifar.from_pretrained(
        tmp_path / "model", dropout=0.5, image_size=64, mean=[0.5] * 3, ood_threshold=0.25
    )
    assert model.head[2].p == model.config.dropout == 0.5
    assert (model.config.image_size, model.config.ood_threshold) == (64, 0.25)
    assert (model.config.mean, model.config.temperature) == ((0.5, 0.5, 0.5), 2.0)
    with pytest.raises(ValueError, match=r"dropout must be a number in \[0, 1\), not 2"):
        MobileNetV3Cifar.from_pretrained(tmp_path / "model", dropout=2)
    with pytest.raises(TypeError, match="cannot change 'size'"):
        MobileNetV3Cifar.from_pretrained(tmp_path / "model", size="large")
