"""These tests check that errors name the invalid field of config.json or the invalid argument."""

import dataclasses
import json
import random

import pytest

from mobilenetv3_cifar import MobileNetV3Cifar, ModelFolderError
from mobilenetv3_cifar.folder import read_folder, write_folder
from tests.fuzz_weights import CONFIG, TENSORS

CONFIG_JSON = "config.json"


@pytest.fixture
def folder(tmp_path):
    write_folder(tmp_path / "model", CONFIG, TENSORS)
    return tmp_path / "model"


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"size": "huge"}, "size must be small or large, not 'huge'"),
        ({"size": ["small"]}, "size must be small or large"),
        ({"blocks": None}, "blocks must be one of report, paper, cifar32, not None"),
        ({"dropout": 1}, r"dropout must be a number in \[0, 1\), not 1"),
        ({"dropout": True}, "dropout must be a number"),
        ({"num_classes": 10**9}, "num_classes must be a whole number from 1 to 10000"),
        ({"num_classes": 10.0}, "num_classes must be a whole number"),
        ({"labels": "abcdefghij"}, "labels must be different printable strings"),
        ({"labels": ["a"] * 10}, "labels must be different printable strings"),
        ({"labels": [["a"]] * 10}, "labels must be different printable strings"),
        ({"labels": ["\ud800", *"bcdefghij"]}, "labels must be different printable strings"),
        ({"labels": ["a\n", *"bcdefghij"]}, "labels must be different printable strings"),
        ({"image_size": 10**6}, "image_size must be a whole number from 32 to 512, not 1000000"),
        ({"temperature": 0}, "temperature must be a number from 0.01 to 100"),
        ({"temperature": float("nan")}, "temperature must be a number .* not nan"),
        ({"ood_threshold": float("inf")}, "ood_threshold must be a finite number"),
        ({"ood_score": "linear"}, "the ood_score 'linear' needs ood_weights, and other scores"),
        ({"ood_weights": [1.0]}, "the ood_score 'linear' needs ood_weights, and other scores"),
        ({"ood_weights": [1e4]}, "ood_weights must be numbers from -1000 to 1000"),
        ({"ood_weights": "1"}, "ood_weights must be numbers from -1000 to 1000"),
        ({"ood_threshold": "0"}, "ood_threshold must be a finite number"),
        ({"config_version": 2}, "config_version must be 1, not 2"),
        ({"weights_sha256": "0" * 63}, "weights_sha256 must be 64 hexadecimal digits"),
        ({"weights_sha256": None}, "weights_sha256 must be 64 hexadecimal digits"),
        ({"auto_map": {}, "width": 2}, "unknown keys: auto_map, width; .* upgrade mobilenetv3"),
    ],
)
def test_a_config_that_is_not_valid_is_refused_by_name(folder, changes, cause):
    values = json.loads((folder / CONFIG_JSON).read_bytes())
    (folder / CONFIG_JSON).write_text(json.dumps(values | changes))
    with pytest.raises(ModelFolderError, match=f"{CONFIG_JSON} is refused: {cause}"):
        read_folder(folder)


def test_weights_of_a_score_that_do_not_fit_the_network_are_refused(tmp_path):
    config = dataclasses.replace(CONFIG, ood_score="linear", ood_weights=[1.0] * 575)
    with pytest.raises(ModelFolderError, match=f"{CONFIG_JSON} is refused: ood_weights must have"):
        write_folder(tmp_path / "model", config, TENSORS)


def test_a_config_without_a_required_key_is_refused_by_name(folder):
    values = json.loads((folder / CONFIG_JSON).read_bytes())
    for key in ("size", "blocks", "dropout", "num_classes", "labels", "image_size"):
        rest = {name: value for name, value in values.items() if name != key}
        (folder / CONFIG_JSON).write_text(json.dumps(rest))
        with pytest.raises(ModelFolderError, match=f"missing keys: {key}"):
            read_folder(folder)


def test_a_config_of_the_first_release_loads(folder):
    values = json.loads((folder / CONFIG_JSON).read_bytes())
    for key in ("config_sha256", "mean", "std", "ood_score", "ood_threshold"):
        values.pop(key)
    (folder / CONFIG_JSON).write_text(json.dumps(values | {"unsure_below": 0.25}))
    assert read_folder(folder).config == dataclasses.replace(CONFIG, ood_threshold=0.25)


def test_every_bit_flip_in_a_config_is_refused_or_changes_nothing(folder):
    content = (folder / CONFIG_JSON).read_bytes()
    for bit in random.Random(0).sample(range(8 * len(content)), 600):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        (folder / CONFIG_JSON).write_bytes(flipped)
        try:
            assert read_folder(folder).config == CONFIG
        except ModelFolderError:
            continue


def test_a_setting_edited_in_the_file_is_refused_with_advice(folder):
    values = json.loads((folder / CONFIG_JSON).read_bytes())
    (folder / CONFIG_JSON).write_text(json.dumps(values | {"image_size": 64}))
    with pytest.raises(ModelFolderError, match=r"damaged or edited.*from_pretrained\(..., NAME="):
        read_folder(folder)


def test_training_frameworks_may_add_attributes_to_a_config_but_fields_stay_frozen():
    config = MobileNetV3Cifar(dropout=0.25).config
    config.use_cache = False  # as transformers' Trainer does
    assert json.loads(config.to_json_string())["dropout"] == config.to_dict()["dropout"] == 0.25
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.dropout = 0.5
    assert config == MobileNetV3Cifar(dropout=0.25).config


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        ({"num_classes": "3"}, "num_classes must be a whole number"),
        ({"num_classes": 0}, "num_classes must be a whole number"),
        ({"num_classes": 3, "labels": ["a"]}, "labels must have 3 entries, not 1"),
        ({"labels": "abcdefghij"}, "labels must be different printable strings"),
        ({"labels": 5}, "labels must be different printable strings"),
        ({"size": {}}, "size must be small or large"),
    ],
)
def test_wrong_arguments_are_refused_by_name(arguments, cause):
    with pytest.raises(ValueError, match=cause):
        MobileNetV3Cifar(**arguments)


def test_indices_and_labels_map_to_each_other():
    config = MobileNetV3Cifar(num_classes=2, labels=["cat", "dog"]).config
    assert config.id2label == {0: "cat", 1: "dog"}
    assert config.label2id == {"cat": 0, "dog": 1}
