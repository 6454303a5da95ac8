"""Model folders: what a save leaves, and which folders are refused."""

import dataclasses
import json
import os
import re
import stat

import pytest
import torch

from mobilenetv3_cifar import MobileNetV3Cifar, ModelFolderError
from mobilenetv3_cifar.config import Config
from mobilenetv3_cifar.folder import digest, read_folder, write_folder
from tests.fuzz_weights import CONFIG, TENSORS

WEIGHTS, CONFIG_JSON = "model.safetensors", "config.json"


@pytest.fixture
def folder(tmp_path):
    """A model folder of four small tensors."""
    write_folder(tmp_path / "model", CONFIG, TENSORS)
    return tmp_path / "model"


# What a save leaves


def test_a_saved_model_loads_with_equal_logits_in_evaluation_mode(tmp_path):
    model = MobileNetV3Cifar(size="small", dropout=0.7, labels=[f"é {i}" for i in range(10)])
    model.save_pretrained(tmp_path / "model")
    loaded = MobileNetV3Cifar.from_pretrained(tmp_path / "model")
    inputs = torch.randn(2, 3, 64, 64)
    assert torch.equal(loaded(inputs), model.eval()(inputs))
    assert loaded.config == model.config
    assert not loaded.training
    assert {tensor.dtype for tensor in loaded.parameters()} == {torch.float32}


@pytest.mark.parametrize("convert", [torch.Tensor.float, torch.Tensor.half, torch.Tensor.bfloat16])
def test_save_load_save_gives_the_same_bytes(tmp_path, convert):
    model = MobileNetV3Cifar().to(memory_format=torch.channels_last)
    for parameter in model.parameters():
        parameter.data = convert(parameter.data)
    model.save_pretrained(tmp_path / "first")
    loaded = MobileNetV3Cifar.from_pretrained(tmp_path / "first")
    loaded.save_pretrained(tmp_path / "second")
    for name in (WEIGHTS, CONFIG_JSON):
        first, second = (tmp_path / folder / name for folder in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()


def test_values_that_half_precision_holds_are_stored_in_half_the_space(tmp_path):
    tensors = {
        "exact": torch.tensor([0.5, -0.0, 65504.0]),
        "inexact": torch.tensor([0.1, 1e6, 0.5]),
    }
    write_folder(tmp_path / "model", CONFIG, tensors)
    content = (tmp_path / "model" / WEIGHTS).read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert header["__metadata__"] == {"format": "pt"}
    assert (header["exact"]["dtype"], header["inexact"]["dtype"]) == ("F16", "F32")
    loaded = read_folder(tmp_path / "model").tensors
    assert {name: t.numpy().tobytes() for name, t in loaded.items()} == {
        name: t.numpy().tobytes() for name, t in tensors.items()
    }


def test_config_json_holds_every_field_sorted_and_readable(folder):
    text = (folder / CONFIG_JSON).read_text(encoding="utf-8")
    values = json.loads(text)
    fields = {field.name for field in dataclasses.fields(Config)}
    assert set(values) == fields | {"config_version", "weights_sha256"}
    assert text == json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert values["weights_sha256"] == digest((folder / WEIGHTS).read_bytes())


def test_a_save_writes_two_files_with_the_modes_that_the_umask_gives(tmp_path):
    before = os.umask(0o027)
    try:
        write_folder(tmp_path / "deep" / "model", CONFIG, TENSORS)
        write_folder(tmp_path / "deep" / "model", CONFIG, TENSORS)
    finally:
        os.umask(before)
    model = tmp_path / "deep" / "model"
    assert stat.S_IMODE(model.stat().st_mode) == 0o750
    assert {p.name: stat.S_IMODE(p.stat().st_mode) for p in model.iterdir()} == {
        WEIGHTS: 0o640,
        CONFIG_JSON: 0o640,
    }
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["model"]


def test_other_files_in_the_folder_are_left_alone(folder):
    (folder / "README.md").write_text("mine")
    write_folder(folder, CONFIG, {"new": torch.ones(2)})
    assert (folder / "README.md").read_text() == "mine"
    assert read_folder(folder).tensors["new"].tolist() == [1, 1]


def test_a_link_is_replaced_and_what_it_points_to_stays(folder, tmp_path):
    shared = tmp_path / "shared"
    (folder / WEIGHTS).rename(shared)
    (folder / WEIGHTS).symlink_to(shared)
    content = shared.read_bytes()
    write_folder(folder, CONFIG, {"new": torch.ones(2)})
    assert shared.read_bytes() == content
    assert read_folder(folder).tensors["new"].tolist() == [1, 1]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("here first")
    with pytest.raises(ModelFolderError, match="file cannot be written: Not a directory"):
        MobileNetV3Cifar().save_pretrained(tmp_path / "file")
    with pytest.raises(ModelFolderError, match="cannot be written: File exists"):
        MobileNetV3Cifar().save_pretrained(tmp_path / "file" / "below")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_saved(tmp_path, value):
    model = MobileNetV3Cifar()
    model.head[3].bias.data[4] = value
    with pytest.raises(ModelFolderError, match=r"'head\.3\.bias' holds a value that is not finite"):
        model.save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()


# Folders that are not whole


@pytest.mark.parametrize("name", [WEIGHTS, CONFIG_JSON])
def test_a_folder_that_lacks_a_file_is_refused_by_name(folder, name):
    (folder / name).unlink()
    with pytest.raises(ModelFolderError, match=f"{re.escape(name)} is missing"):
        MobileNetV3Cifar.from_pretrained(folder)
    (folder / name).mkdir()
    with pytest.raises(ModelFolderError, match=f"{re.escape(name)} is missing"):
        MobileNetV3Cifar.from_pretrained(folder)


def test_weights_of_another_model_are_refused(folder, tmp_path):
    write_folder(tmp_path / "other", CONFIG, {"other": torch.ones(2)})
    (tmp_path / "other" / WEIGHTS).replace(folder / WEIGHTS)
    with pytest.raises(ModelFolderError, match=r"not the file that config\.json names"):
        read_folder(folder)
