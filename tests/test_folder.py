"""These tests check how model folders are written, and which folders and networks are refused."""

import dataclasses
import json
import os
import re
import stat

import pytest
import torch

from mobilenetv3_cifar import MobileNetV3Cifar, ModelFolderError
from mobilenetv3_cifar.config import Config, digest
from mobilenetv3_cifar.folder import read_folder, write_folder
from tests.fuzz_weights import CONFIG, TENSORS

WEIGHTS, CONFIG_JSON = "model.safetensors", "config.json"


@pytest.fixture
def folder(tmp_path):
    """Write a model folder whose weights are four small tensors, and return its path."""
    write_folder(tmp_path / "model", CONFIG, TENSORS)
    return tmp_path / "model"


# Files written when a network is saved


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
    # The weights of the score "linear" are left out, because this network has another score.
    fields = {field.name for field in dataclasses.fields(Config)} - {"ood_weights"}
    assert set(values) == fields | {"config_version", "config_sha256", "weights_sha256"}
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
    with pytest.raises(ModelFolderError, match=r"'head\.3\.bias' has a value that is not finite"):
        model.save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_weights_on_the_device_meta_are_not_saved(tmp_path):
    with torch.device("meta"):
        model = MobileNetV3Cifar(size="small", blocks="cifar32")
    with pytest.raises(ModelFolderError, match="is on the meta device and has no values"):
        model.save_pretrained(tmp_path / "model")


# Incomplete or damaged folders


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
    with pytest.raises(ModelFolderError, match=r"its SHA-256 is not the one in config\.json"):
        read_folder(folder)


@pytest.mark.parametrize("name", [WEIGHTS, CONFIG_JSON])
def test_a_pipe_or_a_device_in_place_of_a_file_is_refused_at_once(folder, name):
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(ModelFolderError, match=f"{re.escape(name)} cannot be read: not a regular"):
        read_folder(folder)
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")
    with pytest.raises(ModelFolderError, match=f"{re.escape(name)} cannot be read: not a regular"):
        read_folder(folder)


# Networks that are not saved, because they could not be loaded again


def replace_classes(model):
    model.head[3] = torch.nn.Conv2d(1280, 5, 1)


def replace_activation(model):
    model.features.stem_activation = torch.nn.ReLU()


def append_softmax(model):
    model.head.append(torch.nn.Softmax(dim=1))


def change_stride(model):
    model.features.stem.stride = (1, 1)


def remove_block(model):
    del model.features.blocks[10]


def normalise_weight(model):
    torch.nn.utils.parametrizations.weight_norm(model.head[3])


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (replace_classes, r"'head\.3\.bias' is float \(5,\) but must be float \(10,\)"),
        (replace_activation, r"'features\.stem_activation' is ReLU\(\) but must be Hardswish\(\)"),
        (append_softmax, r"'head\.4' is Softmax\(dim=1\) but must be absent"),
        (change_stride, r"'features\.stem' is Conv2d\(.*stride=\(1, 1\)"),
        (remove_block, r"'features\.blocks\.10\..*' is missing"),
        (normalise_weight, r"'head\.3\.parametrizations.*must be absent"),
    ],
)
def test_a_network_that_would_not_load_is_not_saved_over_a_good_one(tmp_path, change, cause):
    model = MobileNetV3Cifar()
    model.save_pretrained(tmp_path / "model")
    before = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    change(model)
    with pytest.raises(ModelFolderError, match=f"this network.s layers differ .*{cause}"):
        model.save_pretrained(tmp_path / "model")
    assert {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()} == before
    with pytest.raises(ModelFolderError, match="this network's layers differ"):
        model.save_pretrained(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_config_that_is_too_large_to_be_read_is_not_saved(folder):
    labels = tuple(f"{index:04d}" + "é" * 96 for index in range(9000))
    config = dataclasses.replace(CONFIG, num_classes=9000, labels=labels)
    with pytest.raises(ModelFolderError, match=r"config\.json is larger than 1048576 bytes"):
        write_folder(folder, config, TENSORS)
    assert read_folder(folder).config == CONFIG


def test_what_training_changes_without_changing_answers_can_be_saved(tmp_path):
    model = MobileNetV3Cifar(dropout=0.5)
    model.head[2].p = 0.1
    model.features.stem_norm.momentum = 0.01
    model.features.stem_activation.inplace = True
    model = torch.nn.SyncBatchNorm.convert_sync_batchnorm(model).bfloat16()
    model.save_pretrained(tmp_path / "model")
    assert MobileNetV3Cifar.from_pretrained(tmp_path / "model").config.dropout == 0.5


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_loading_does_not_depend_on_the_callers_defaults(tmp_path, dtype):
    MobileNetV3Cifar().save_pretrained(tmp_path / "model")
    try:
        torch.set_default_dtype(dtype)
        with torch.inference_mode():
            loaded = MobileNetV3Cifar.from_pretrained(tmp_path / "model", num_classes=3)
    finally:
        torch.set_default_dtype(torch.float32)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    # Training would fail if the parameters had been created in inference mode.
    loaded.train()(torch.randn(2, 3, 64, 64)).sum().backward()
