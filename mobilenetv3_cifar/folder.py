"""A model folder: `config.json` and `model.safetensors`, tied together by SHA-256.

The config names the hash of the weights and is written last. So whatever moment a save is killed
at, the folder holds the old model, the new one, or weights that its config does not name, which is
refused; it never loads as a mixture. A new folder appears by one rename, atomically. The
config's own hash covers all its other keys.
"""

import dataclasses
import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from mobilenetv3_cifar import weights
from mobilenetv3_cifar.config import CONFIG_VERSION, Config
from mobilenetv3_cifar.errors import ModelFolderError, printable, quote
from mobilenetv3_cifar.files import partial_of, read_file, replace_files
from mobilenetv3_cifar.variants import WEIGHTS_FILE

CONFIG_FILE = "config.json"
MAX_BYTES = {CONFIG_FILE: 2**20, WEIGHTS_FILE: weights.MAX_BYTES}
FIELDS = {field.name: field.default for field in dataclasses.fields(Config)}
REQUIRED = {name for name, default in FIELDS.items() if default is dataclasses.MISSING}
OTHER_KEYS = {"config_version", "config_sha256", "weights_sha256", "unsure_below"}


class ModelFolder(NamedTuple):
    """What a model folder holds."""

    path: Path
    config: Config
    tensors: dict[str, Tensor]  # float32 on the CPU; counters int64
    repository: str | None = None  # "owner/name" on the Hub, where it is a snapshot in the cache


def read_folder(folder: Path) -> ModelFolder:
    """Read and check a model folder; ModelFolderError says what is wrong with which file."""
    return decode_folder(folder, {name: read_content(folder / name) for name in MAX_BYTES})


def decode_folder(folder: Path, contents: dict[str, bytes]) -> ModelFolder:
    """Check the two files' contents; `folder`, which need not exist, is for the messages."""
    config, sha256 = decode_config(folder, contents[CONFIG_FILE])
    content = contents[WEIGHTS_FILE]
    try:
        weights.check_kind(content)  # first: a Git LFS pointer should be named as such
        if digest(content) != sha256:
            raise ValueError(f"not the file that {CONFIG_FILE} names by its SHA-256")
        return ModelFolder(folder, config, weights.decode(content))
    except ValueError as error:
        raise ModelFolderError(f"{folder / WEIGHTS_FILE} is refused: {error}") from error


def read_config(folder: Path) -> tuple[Config, str]:
    """The config in a folder, and the SHA-256 (64 hex digits) of the weights that belong to it."""
    return decode_config(folder, read_content(folder / CONFIG_FILE))


def decode_config(folder: Path, content: bytes) -> tuple[Config, str]:
    try:
        values = json.loads(content.decode("utf-8"))
        check_keys(values)
        sha256 = hash_values(values)
        if "unsure_below" in values:  # the name in the first release
            values["ood_threshold"] = values.pop("unsure_below")
        known = FIELDS.keys() & values.keys()
        fields: dict[str, Any] = {name: from_json(values[name]) for name in known}
        config = Config(**fields)
        if values.get("config_sha256", sha256) != sha256:  # folders of the first release lack it
            raise ValueError(
                "it was damaged or edited, says its config_sha256; to change a setting, "
                "load with from_pretrained(..., NAME=VALUE) and save again"
            )
        return config, values["weights_sha256"]
    except (ValueError, RecursionError) as error:
        raise ModelFolderError(f"{folder / CONFIG_FILE} is refused: {error}") from error


def from_json(value: Any) -> Any:
    """A config's sequences are tuples, which JSON writes as lists."""
    return tuple(value) if isinstance(value, list) else value


def check_keys(values: Any) -> None:
    """Check the version and the keys; Config checks the settings."""
    if not isinstance(values, dict):
        raise ValueError("it is not a JSON object")
    version = values.get("config_version", CONFIG_VERSION)
    if version != CONFIG_VERSION or isinstance(version, bool):
        raise ValueError(f"config_version {quote(version)} is not the {CONFIG_VERSION} read here")
    if missing := (REQUIRED | {"weights_sha256"}) - values.keys():
        raise ValueError(f"it has no {', '.join(sorted(missing))}")
    if unknown := values.keys() - FIELDS.keys() - OTHER_KEYS:
        names = printable(", ".join(sorted(unknown)))
        raise ValueError(f"it has an unknown {names}; a newer mobilenetv3-cifar may read it")
    if not re.fullmatch(r"[0-9a-f]{64}", str(values["weights_sha256"])):
        raise ValueError("weights_sha256 must be 64 hexadecimal digits, in lower case")


def hash_values(values: dict[str, Any]) -> str:
    """SHA-256 of a config's values, all but this hash itself, as compact JSON with sorted keys."""
    covered = {key: value for key, value in values.items() if key != "config_sha256"}
    return digest(json.dumps(covered, sort_keys=True, separators=(",", ":")).encode())


def encode_config(config: Config, sha256: str) -> bytes:
    values = dataclasses.asdict(config)
    values |= {"config_version": CONFIG_VERSION, "weights_sha256": sha256}
    values["config_sha256"] = hash_values(values)
    return (json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def read_content(path: Path) -> bytes:
    try:
        return read_file(path, MAX_BYTES[path.name])
    except (FileNotFoundError, IsADirectoryError) as error:
        raise ModelFolderError(f"{path} is missing; every model folder has it") from error
    except OSError as error:
        raise ModelFolderError(f"{path} cannot be read: {error.strerror}") from error


def write_folder(folder: Path, config: Config, tensors: dict[str, Tensor]) -> None:
    """Write a model folder, new or over an old one; other files there are left alone.

    A kill may leave a hidden `.NAME.*.partial` behind, which nothing reads.

    Raises:
        ModelFolderError: the disk is full, the folder is not writable, or `read_folder` would
            refuse the result; then nothing is written.
    """
    content = encode_weights(tensors)
    files = {WEIGHTS_FILE: content, CONFIG_FILE: encode_config(config, digest(content))}
    for name, limit in MAX_BYTES.items():
        if len(files[name]) > limit:
            raise ModelFolderError(f"{folder} is not saved: {name} is larger than {limit} bytes")
    decode_folder(folder, files)
    try:
        if folder.exists():
            replace_files(folder, files)
        else:
            create_folder(folder, files)
    except OSError as error:
        raise ModelFolderError(f"{folder} cannot be written: {error.strerror}") from error


def create_folder(folder: Path, files: dict[str, bytes]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_of(folder)
    partial.mkdir()
    try:
        replace_files(partial, files)
        os.rename(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def matches(folder: Path, config: Config, tensors: dict[str, Tensor]) -> bool:
    """Whether a folder holds this model: the same config and the same weights."""
    try:
        return read_config(folder) == (config, digest(encode_weights(tensors)))
    except ModelFolderError:
        return False


def encode_weights(tensors: dict[str, Tensor]) -> bytes:
    try:
        return weights.encode(tensors)
    except ValueError as error:
        raise ModelFolderError(f"these weights cannot be saved: {error}") from error


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
