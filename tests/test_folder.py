"""Model folders: what is refused, and what is left on disk whatever happens to a save."""

import dataclasses
import json
import os
import pickle
import random
import re
import resource
import signal
import stat
import subprocess
import time
import zipfile
from io import BytesIO
from itertools import count
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from mobilenetv3_cifar import MobileNetV3Cifar, ModelFolderError
from mobilenetv3_cifar.config import Config
from mobilenetv3_cifar.folder import (
    ModelFolder,
    check_folder_fits,
    digest,
    encode_config,
    read_folder,
    write_folder,
)
from tests.fuzz_weights import CONFIG, TENSORS, fuzz

WEIGHTS, CONFIG_JSON = "model.safetensors", "config.json"


@pytest.fixture
def folder(tmp_path):
    """A model folder of four small tensors."""
    write_folder(tmp_path / "model", CONFIG, TENSORS)
    return tmp_path / "model"


def put_weights(folder: Path, content: bytes) -> None:
    """Replace the weights, and put their hash right in the config."""
    (folder / WEIGHTS).write_bytes(content)
    (folder / CONFIG_JSON).write_bytes(encode_config(CONFIG, digest(content)))


def put_config(folder: Path, **changes: object) -> None:
    values = json.loads((folder / CONFIG_JSON).read_bytes())
    (folder / CONFIG_JSON).write_text(json.dumps(values | changes))


def equal(tensors: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> bool:
    return tensors.keys() == others.keys() and all(
        torch.equal(tensor, others[name]) for name, tensor in tensors.items()
    )


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


# Saves that do not end well

NEW = {"new.weight": torch.arange(40.0) / 8}
NEW_CONFIG = dataclasses.replace(CONFIG, temperature=2.0)


def start_save(folder: Path) -> tuple[int, int]:
    """Fork a child that saves NEW when told to; return its process id and the pipe that tells it.

    It exits with 0, or with 3 after a ModelFolderError. NEW is small: torch must need no threads.
    """
    wait, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(wait, 1)
        try:
            write_folder(folder, NEW_CONFIG, NEW)
        except ModelFolderError:
            os._exit(3)
        os._exit(0)
    os.close(wait)
    return pid, tell


def save_with(injection: str, folder: Path) -> int:
    """Save while strace injects a signal or an error into a system call; return the status."""
    pid, tell = start_save(folder)
    command = ["strace", "-p", str(pid), "-o", os.devnull, "-e", f"inject={injection}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        assert "attached" in tracer.stderr.readline()
        os.write(tell, b"x")
        _, status = os.waitpid(pid, 0)
    os.close(tell)
    return os.waitstatus_to_exitcode(status)


SYSTEM_CALLS = [
    "?mkdir,?mkdirat",
    "?open,openat",
    "write",
    "fsync",
    "?rename,?renameat,?renameat2",
    "close",
    "?unlink,?unlinkat",
]


@pytest.mark.parametrize("calls", SYSTEM_CALLS)
@pytest.mark.parametrize("existing", [True, False])
def test_a_save_killed_at_any_system_call_leaves_no_mixture(tmp_path, calls, existing):
    seen = []
    for when in count(1):
        folder = tmp_path / str(when) / "model"
        if existing:
            write_folder(folder, CONFIG, TENSORS)
        status = save_with(f"{calls}:signal=SIGKILL:when={when}", folder)
        seen.append(state(folder))
        write_folder(folder, NEW_CONFIG, NEW)
        assert equal(read_folder(folder).tensors, NEW)  # the next save repairs
        if status == 0:
            break
        assert status == -9
    assert seen[-1] == "new"
    assert set(seen) <= ({"old", "new", "refused"} if existing else {"absent", "new"})
    assert len(seen) > 1 or (existing and "mkdir" in calls)


@pytest.mark.parametrize("calls", SYSTEM_CALLS[:4])
@pytest.mark.parametrize("existing", [True, False])
def test_a_save_that_meets_an_error_at_any_point_changes_nothing(tmp_path, calls, existing):
    statuses = []
    for when in range(1, 8):
        folder = tmp_path / str(when) / "model"
        folder.parent.mkdir()
        if existing:
            write_folder(folder, CONFIG, TENSORS)
        statuses.append(save_with(f"{calls}:error=ENOSPC:when={when}", folder))
        assert len(list(folder.parent.iterdir())) == folder.exists()  # no partial folder
        assert sorted(path.name for path in folder.glob("*")) in ([], [CONFIG_JSON, WEIGHTS])
        failed = "old" if existing else "absent"
        assert state(folder) in ({"new"} if statuses[-1] == 0 else {failed, "new"})
    assert set(statuses) == ({0} if existing and "mkdir" in calls else {0, 3})


def state(folder: Path) -> str:
    """Which model a folder holds, and that it is no mixture of both."""
    if not folder.exists():
        return "absent"
    try:
        _, config, tensors = read_folder(folder)
    except ModelFolderError as error:
        return "refused" if "not the file that config.json names" in str(error) else f"{error}"
    if (config, equal(tensors, NEW)) == (NEW_CONFIG, True):
        return "new"
    return "old" if (config, equal(tensors, TENSORS)) == (CONFIG, True) else "a mixture"


@pytest.mark.parametrize("percent", range(5, 105, 10))
@pytest.mark.parametrize("existing", [True, False])
def test_a_disk_that_fills_up_changes_nothing(tmp_path, percent, existing):
    folder = tmp_path / "model"
    if existing:
        write_folder(folder, CONFIG, TENSORS)
    write_folder(tmp_path / "measure", NEW_CONFIG, NEW)
    largest = max(path.stat().st_size for path in (tmp_path / "measure").iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest * percent // 100, hard))
    try:
        with pytest.raises(ModelFolderError, match="cannot be written: File too large"):
            write_folder(folder, NEW_CONFIG, NEW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert state(folder) == ("old" if existing else "absent")
    assert len(list(tmp_path.rglob("*"))) == (6 if existing else 3)  # nothing partial is left


def test_readers_beside_a_saver_never_see_a_mixture(folder):
    seen = set()
    for _ in range(20):
        pid, tell = start_save(folder)
        os.write(tell, b"x")
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            seen.add(state(folder))
        os.close(tell)
        seen.add(state(folder))
        write_folder(folder, CONFIG, TENSORS)
    assert seen <= {"old", "new", "refused"}
    assert "new" in seen


def test_savers_beside_each_other_leave_a_model_or_one_that_the_next_save_repairs(folder):
    for _ in range(10):
        savers = [start_save(folder) for _ in range(4)]
        for _, tell in savers:
            os.write(tell, b"x")
        write_folder(folder, CONFIG, TENSORS)
        for pid, tell in savers:
            assert os.waitpid(pid, 0)[1] == 0
            os.close(tell)
        assert state(folder) in {"old", "new", "refused"}
        assert len(list(folder.iterdir())) == 2
    write_folder(folder, CONFIG, TENSORS)
    assert state(folder) == "old"


# What is refused


def header_and_data(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def zipped() -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
    return buffer.getvalue()


VALID = save(TENSORS)
ENTRY = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
MALFORMED = {
    "empty": (b"", "empty"),
    "seven bytes": (b"1234567", "first 8 bytes are no header length"),
    "header missing": ((100).to_bytes(8, "little"), "cut off within its header"),
    "header cut": (VALID[:40], "cut off within its header"),
    "data cut by one": (VALID[:-1], "not a whole safetensors file"),
    "one byte more": (VALID + b"\0", "not a whole safetensors file"),
    "header over 1 MB": ((2**20 + 1).to_bytes(8, "little") + b"{", "no header length"),
    "header of 100 MB": ((100_000_001).to_bytes(8, "little") + b"{", "no header length"),
    "header of 2^63": ((2**63).to_bytes(8, "little") + b"{", "no header length"),
    "header of 2^64 - 1": (b"\xff" * 8 + b"{", "no header length"),
    "header of none": (bytes(8), "does not start with a brace"),
    "header not JSON": (header_and_data(b"{nonsense"), "Expecting property name"),
    "header not UTF-8": (header_and_data(b'{"\xff": 1}'), "codec can't decode"),
    "header an array": (header_and_data([1]), "does not start with a brace"),
    "header after a space": (header_and_data(b" {}"), "does not start with a brace"),
    "header with a BOM": (header_and_data("\ufeff{}".encode()), "does not start with a brace"),
    "offsets too short": (
        header_and_data({"a": {**ENTRY, "data_offsets": [0, 3]}}, bytes(3)),
        "not a whole safetensors file",
    ),
    "offsets backwards": (
        header_and_data({"a": {**ENTRY, "data_offsets": [4, 0]}}, bytes(4)),
        "not a whole safetensors file",
    ),
    "a hole": (
        header_and_data({"a": ENTRY, "b": {**ENTRY, "data_offsets": [8, 12]}}, bytes(12)),
        "not a whole safetensors file",
    ),
    "an overlap": (
        header_and_data({"a": ENTRY, "b": {**ENTRY, "data_offsets": [2, 6]}}, bytes(6)),
        "not a whole safetensors file",
    ),
    "a name twice": (
        header_and_data(b'{"a": %s, "a": %s}' % ((json.dumps(ENTRY).encode(),) * 2), bytes(4)),
        "the key 'a' stands there twice",
    ),
    "shape overflow": (
        header_and_data({"a": {**ENTRY, "shape": [2**62, 2**62]}}, bytes(4)),
        "not a whole safetensors file",
    ),
    "negative dimension": (
        header_and_data({"a": {**ENTRY, "shape": [-1]}}, bytes(4)),
        "not a whole safetensors file",
    ),
    "unknown dtype": (
        header_and_data({"a": {**ENTRY, "dtype": "F31"}}, bytes(4)),
        "not a whole safetensors file",
    ),
    "other dtype": (save({"a": torch.zeros(1, dtype=torch.float64)}), "'a' is torch.float64"),
    "metadata not text": (
        header_and_data({"__metadata__": {"a": 1}, "a": ENTRY}, bytes(4)),
        "not a whole safetensors file",
    ),
    "NaN": (save({"a": torch.tensor([0.0, float("nan")])}), "'a' holds a value that is not finite"),
    "infinity": (save({"a": torch.tensor([float("inf")])}), "'a' holds a value that is not finite"),
    "JSON 100,000 deep": (header_and_data(b'{"a":' + b"[" * 100_000), "nested too deeply"),
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
    begin = time.perf_counter()
    with pytest.raises(ModelFolderError, match=rf"{WEIGHTS} is refused: .*{cause}"):
        read_folder(folder)
    assert time.perf_counter() - begin < 0.5


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
    assert min(outcome.refused, outcome.read) > 0  # both ways are tried
    assert outcome.slowest_seconds < 1
    assert outcome.grown_megabytes < 50


def test_each_tensor_that_does_not_fit_the_network_is_named():
    model = MobileNetV3Cifar()
    expected = model.state_dict()
    found = ModelFolder(Path("model"), model.config, expected)
    check_folder_fits(found, expected)
    for name, tensor in expected.items():
        without = {other: t for other, t in expected.items() if other != name}
        for wrong, cause in (
            (without, f"tensor '{name}' is missing"),
            (without | {"x" + name: tensor}, f"tensor '{name}' is missing"),
            (without | {name: tensor[None]}, f"tensor '{name}' is torch"),
            (without | {name: tensor.int()}, f"tensor '{name}' is torch.int32"),
            (expected | {name + "_": tensor}, f"tensor '{name}_' is none of this network's"),
        ):
            with pytest.raises(ModelFolderError, match=re.escape(cause)):
                check_folder_fits(found._replace(tensors=wrong), expected)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"size": "huge"}, "size must be small or large, not 'huge'"),
        ({"size": ["small"]}, "size must be small or large"),
        ({"blocks": None}, "blocks must be report or paper, not None"),
        ({"dropout": 1}, r"dropout must be a number in \[0, 1\), not 1"),
        ({"dropout": True}, "dropout must be a number"),
        ({"num_classes": 10**9}, "num_classes must be a whole number from 1 to 10000"),
        ({"num_classes": 10.0}, "num_classes must be a whole number"),
        ({"labels": "abcdefghij"}, "labels must be a list"),
        ({"labels": ["a"] * 10}, "labels must be 10 different printable texts"),
        ({"labels": [["a"]] * 10}, "labels must be 10 different printable texts"),
        ({"labels": ["\ud800", *"bcdefghij"]}, "labels must be 10 different printable texts"),
        ({"labels": ["a\n", *"bcdefghij"]}, "labels must be 10 different printable texts"),
        ({"image_size": 10**6}, "image_size must be 32 to 512, not 1000000"),
        ({"temperature": 0}, "temperature must be a number from 0.01 to 100"),
        ({"temperature": float("nan")}, "NaN is no JSON number"),
        ({"config_version": 2}, "config_version 2 is not the 1 read here"),
        ({"weights_sha256": "0" * 63}, "weights_sha256 must be 64 hexadecimal digits"),
        ({"weights_sha256": None}, "weights_sha256 must be 64 hexadecimal digits"),
        ({"auto_map": {}, "width": 2}, "it has an unknown auto_map, width"),
    ],
)
def test_a_config_that_is_not_valid_is_refused_by_name(folder, changes, cause):
    put_config(folder, **changes)
    with pytest.raises(ModelFolderError, match=f"{CONFIG_JSON} is refused: {cause}"):
        read_folder(folder)


def test_a_config_without_a_key_is_refused_by_name(folder):
    values = json.loads((folder / CONFIG_JSON).read_bytes())
    for key in values:
        rest = {name: value for name, value in values.items() if name != key}
        (folder / CONFIG_JSON).write_text(json.dumps(rest))
        with pytest.raises(ModelFolderError, match=f"it has no {key}"):
            read_folder(folder)


@pytest.mark.parametrize("name", [WEIGHTS, CONFIG_JSON])
def test_a_folder_that_lacks_a_file_is_refused_by_name(folder, name):
    (folder / name).unlink()
    with pytest.raises(ModelFolderError, match=f"{re.escape(name)} is missing"):
        MobileNetV3Cifar.from_pretrained(folder)
    (folder / name).mkdir()
    with pytest.raises(ModelFolderError, match=f"{re.escape(name)} is missing"):
        MobileNetV3Cifar.from_pretrained(folder)


def test_weights_of_another_model_are_refused(folder, tmp_path):
    write_folder(tmp_path / "other", CONFIG, NEW)
    (tmp_path / "other" / WEIGHTS).replace(folder / WEIGHTS)
    with pytest.raises(ModelFolderError, match=r"not the file that config\.json names"):
        read_folder(folder)


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        ({"num_classes": "3"}, "num_classes must be a whole number"),
        ({"num_classes": 0}, "num_classes must be a whole number"),
        ({"num_classes": 3, "labels": ["a"]}, "labels must be 3 different printable texts"),
        ({"labels": "abcdefghij"}, "labels must be a list or tuple of texts"),
        ({"labels": 5}, "labels must be a list or tuple of texts"),
        ({"size": {}}, "size must be small or large"),
    ],
)
def test_wrong_arguments_are_refused_by_name(arguments, cause):
    with pytest.raises(ValueError, match=cause):
        MobileNetV3Cifar(**arguments)
