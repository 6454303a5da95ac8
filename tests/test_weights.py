"""These tests check that malformed, damaged or unsuitable weights give an error with the cause."""

import json
import os
import pickle
import random
import re
import time
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from mobilenetv3_cifar import MobileNetV3Cifar, ModelFolderError
from mobilenetv3_cifar.config import digest, encode_config
from mobilenetv3_cifar.folder import check_fit, read_folder, write_folder
from tests.fuzz_weights import CONFIG, TENSORS, fuzz

WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tmp_path):
    write_folder(tmp_path / "model", CONFIG, TENSORS)
    return tmp_path / "model"


def put_weights(folder: Path, content: bytes) -> None:
    """Replace the weights file in `folder`, and write its new hash into the config file."""
    (folder / WEIGHTS).write_bytes(content)
    (folder / "config.json").write_bytes(encode_config(CONFIG, digest(content)))


def header_and_data(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def zipped() -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
    return buffer.getvalue()


VALID = save(TENSORS)
NOT_WHOLE = "not a complete safetensors file"
ENTRY = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
MALFORMED = {
    "empty": (b"", NOT_WHOLE),
    "seven bytes": (b"1234567", "are not the length"),
    "header missing": ((100).to_bytes(8, "little"), NOT_WHOLE),
    "header cut": (VALID[:40], NOT_WHOLE),
    "data cut by one": (VALID[:-1], NOT_WHOLE),
    "one byte more": (VALID + b"\0", NOT_WHOLE),
    "header over 1 MB": (
        (2**20 + 1).to_bytes(8, "little") + b"{",
        "are not the length",
    ),
    "header of 100 MB": (
        (100_000_001).to_bytes(8, "little") + b"{",
        "are not the length",
    ),
    "header of 2^63": ((2**63).to_bytes(8, "little") + b"{", "are not the length"),
    "header of 2^64 - 1": (b"\xff" * 8 + b"{", "are not the length"),
    "header of 0 bytes": (bytes(8), NOT_WHOLE),
    "header not JSON": (header_and_data(b"{nonsense"), NOT_WHOLE),
    "header not UTF-8": (header_and_data(b'{"\xff": 1}'), NOT_WHOLE),
    "header an array": (header_and_data([1]), NOT_WHOLE),
    "offsets too short": (
        header_and_data({"a": {**ENTRY, "data_offsets": [0, 3]}}, bytes(3)),
        NOT_WHOLE,
    ),
    "offsets backwards": (
        header_and_data({"a": {**ENTRY, "data_offsets": [4, 0]}}, bytes(4)),
        NOT_WHOLE,
    ),
    "a hole": (
        header_and_data({"a": ENTRY, "b": {**ENTRY, "data_offsets": [8, 12]}}, bytes(12)),
        NOT_WHOLE,
    ),
    "an overlap": (
        header_and_data({"a": ENTRY, "b": {**ENTRY, "data_offsets": [2, 6]}}, bytes(6)),
        NOT_WHOLE,
    ),
    "shape overflow": (
        header_and_data({"a": {**ENTRY, "shape": [2**62, 2**62]}}, bytes(4)),
        NOT_WHOLE,
    ),
    "a size of 2^63": (
        header_and_data({"a": {**ENTRY, "shape": [2**63, 0], "data_offsets": [0, 0]}}),
        NOT_WHOLE,
    ),
    "sizes of 2^62 and 0": (
        header_and_data({"a": {**ENTRY, "shape": [2**62, 0], "data_offsets": [0, 0]}}),
        "array is too big",
    ),
    "a dtype of 100,000 control characters": (
        header_and_data({"a": {**ENTRY, "dtype": "\x1b" * 100_000}}, bytes(4)),
        NOT_WHOLE,
    ),
    "a name of 900,000 characters": (
        header_and_data({"n" * 900_000: {**ENTRY, "dtype": "F64"}}, bytes(4)),
        NOT_WHOLE,
    ),
    "negative dimension": (
        header_and_data({"a": {**ENTRY, "shape": [-1]}}, bytes(4)),
        NOT_WHOLE,
    ),
    "unknown dtype": (
        header_and_data({"a": {**ENTRY, "dtype": "F31"}}, bytes(4)),
        NOT_WHOLE,
    ),
    "dtype that torch lacks": (
        header_and_data({"a": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}, bytes(1)),
        NOT_WHOLE,
    ),
    "other dtype": (save({"a": torch.zeros(1, dtype=torch.float64)}), "'a' is torch.float64"),
    "metadata not text": (
        header_and_data({"__metadata__": {"a": 1}, "a": ENTRY}, bytes(4)),
        NOT_WHOLE,
    ),
    "NaN": (save({"a": torch.tensor([0.0, float("nan")])}), "'a' has a value that is not finite"),
    "infinity": (save({"a": torch.tensor([float("inf")])}), "'a' has a value that is not finite"),
    "JSON 100,000 deep": (
        header_and_data(b'{"a":' + b"[" * 100_000),
        NOT_WHOLE,
    ),
    "a pickle": (pickle.dumps({"a": 1}), "a pickle, not safetensors; pickles are never opened"),
    "a .pt file": (zipped(), "a zip archive .* pickles are never opened"),
    "a Git LFS pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "a Git LFS pointer, not weights: fetch the file itself",
    ),
    "a web page": (b"<!DOCTYPE html><html></html>", "an HTML page, not weights"),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_weights_that_are_malformed_are_refused_by_name(folder, kind):
    content, cause = MALFORMED[kind]
    put_weights(folder, content)
    started = time.perf_counter()
    with pytest.raises(ModelFolderError, match=rf"{WEIGHTS} is refused: .*({cause})") as refusal:
        read_folder(folder)
    assert len(str(refusal.value)) < 1000
    assert str(refusal.value).isprintable()
    assert time.perf_counter() - started < 0.5


def test_a_weights_file_over_64_mb_is_refused_unread(folder):
    os.truncate(folder / WEIGHTS, 64 * 2**20 + 1)
    with pytest.raises(ModelFolderError, match="larger than 67108864 bytes"):
        read_folder(folder)


def test_a_lone_pickle_is_never_opened(folder, tmp_path):
    class Canary:
        def __reduce__(self):
            return Path.touch, (tmp_path / "opened",)

    (folder / WEIGHTS).unlink()
    for name in ("pytorch_model.bin", "model.pt", "model.ckpt", "model.pkl"):
        (folder / name).write_bytes(pickle.dumps(Canary()))
    with pytest.raises(ModelFolderError, match=r"model\.safetensors is missing"):
        MobileNetV3Cifar.from_pretrained(folder)
    assert not (tmp_path / "opened").exists()


def test_every_bit_flip_in_the_weights_is_found(folder):
    content = (folder / WEIGHTS).read_bytes()
    chance = random.Random(0)
    for _ in range(1000):
        flipped = bytearray(content)
        flipped[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        (folder / WEIGHTS).write_bytes(flipped)
        with pytest.raises(ModelFolderError):
            read_folder(folder)


@pytest.mark.parametrize(("kind", "mutants"), [("weights", 2000), ("configs", 1000)])
def test_mutants_are_refused_by_name_or_read_as_they_are(kind, mutants):
    outcome = fuzz(kind, mutants)
    assert outcome.refused + outcome.read == mutants
    assert min(outcome.refused, outcome.read) > 0
    assert outcome.slowest_seconds < 1
    assert outcome.grown_megabytes < 50


def test_each_tensor_that_does_not_fit_the_network_is_named():
    model = MobileNetV3Cifar()
    expected = model.state_dict()
    check_fit(expected, expected, "refused")
    for name, tensor in expected.items():
        without = {other: t for other, t in expected.items() if other != name}
        for wrong, cause in (
            (without, f"tensor '{name}' is missing"),
            (without | {"x" + name: tensor}, f"tensor '{name}' is missing"),
            (without | {name: tensor[None]}, f"tensor '{name}' is "),
            (without | {name: tensor.int()}, f"tensor '{name}' is torch.int32"),
            (expected | {name + "_": tensor}, f"tensor '{name}_' is "),
        ):
            with pytest.raises(ModelFolderError, match=re.escape(f"refused: {cause}")):
                check_fit(wrong, expected, "refused")
