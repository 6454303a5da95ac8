"""A model folder: `config.json` and `model.safetensors`, tied together by a SHA-256.

The config names the hash of the weights, and is written last. So whatever moment a save is killed
at, the folder holds the old model, the new one, or weights that its config does not name, which is
refused; it never loads as a mixture. A new folder appears by one rename, whole or not at all.
"""

import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from mobilenetv3_cifar import weights
from mobilenetv3_cifar.config import CONFIG_VERSION, Config
from mobilenetv3_cifar.errors import ModelFolderError
from mobilenetv3_cifar.files import partial_of, replace_files, sync_names
from mobilenetv3_cifar.variants import WEIGHTS_FILE

CONFIG_FILE = "config.json"
MAX_CONFIG_BYTES = 2**20
FIELDS = {field.name for field in dataclasses.fields(Config)}
KEYS = FIELDS | {"config_version", "weights_sha256"}
REQUIRED = {"weights_sha256"} | {
    field.name for field in dataclasses.fields(Config) if field.default is dataclasses.MISSING
}


class ModelFolder(NamedTuple):
    """What a model folder holds. Tensors are float32 on the CPU, counters int64."""

    path: Path
    config: Config
    tensors: dict[str, Tensor]
    repository: str | None = None  # "owner/name" on the Hub, where it is a snapshot in the cache


def read_folder(folder: Path) -> ModelFolder:
    """Read and check a model folder.

    Raises:
        ModelFolderError: a file is missing, damaged, too large, or not what the config says.
    """
    config, sha256 = read_config(folder)
    path = folder / WEIGHTS_FILE
    content = read_file(path, weights.MAX_BYTES)
    try:
        weights.check_header(content)  # first: a Git LFS pointer should be called that
        if digest(content) != sha256:
            raise ValueError(f"not the file that {CONFIG_FILE} names by its SHA-256")
        return ModelFolder(folder, config, weights.decode(content))
    except ValueError as error:
        raise ModelFolderError(f"{path} is refused: {error}") from error


def check_folder_fits(found: ModelFolder, expected: dict[str, Tensor]) -> None:
    """Raise ModelFolderError where the weights do not fit the network that the config describes."""
    try:
        weights.check_fit(found.tensors, expected)
    except ValueError as error:
        raise ModelFolderError(f"{found.path / WEIGHTS_FILE} is refused: {error}") from error


def read_config(folder: Path) -> tuple[Config, str]:
    """The config in a folder, and the SHA-256 (64 hex digits) of the weights that belong to it.

    Raises:
        ModelFolderError: it is missing or not valid.
    """
    path = folder / CONFIG_FILE
    content = read_file(path, MAX_CONFIG_BYTES)
    try:
        return decode_config(content)
    except ValueError as error:
        raise ModelFolderError(f"{path} is refused: {error}") from error


def decode_config(content: bytes) -> tuple[Config, str]:
    values = weights.parse_json(content)
    if not isinstance(values, dict):
        raise ValueError("it is no JSON object")
    version = values.get("config_version", CONFIG_VERSION)
    if version != CONFIG_VERSION or isinstance(version, bool):
        raise ValueError(f"config_version {version!r:.20} is not the {CONFIG_VERSION} read here")
    if "unsure_below" in values:  # the first release's name
        values["ood_threshold"] = values.pop("unsure_below")
    check_keys(set(values))
    sha256 = values["weights_sha256"]
    if not isinstance(sha256, str) or len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise ValueError("weights_sha256 must be 64 hexadecimal digits, in lower case")
    fields = {name: from_json(value) for name, value in values.items() if name in FIELDS}
    return Config(**fields), sha256


def from_json(value: Any) -> Any:
    """A config's sequences are tuples, which JSON writes as lists."""
    return tuple(value) if isinstance(value, list) else value


def check_keys(keys: set[str]) -> None:
    if missing := REQUIRED - keys:
        raise ValueError(f"it has no {', '.join(sorted(missing)):.200}")
    if unknown := keys - KEYS:
        raise ValueError(
            f"it has an unknown {', '.join(sorted(unknown)):.200}; "
            "a newer mobilenetv3-cifar may read it"
        )


def encode_config(config: Config, sha256: str) -> bytes:
    values = dataclasses.asdict(config)
    values |= {"config_version": CONFIG_VERSION, "weights_sha256": sha256}
    return (json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def read_file(path: Path, limit: int) -> bytes:
    """The whole content of a file of at most `limit` bytes."""
    if not path.is_file():
        raise ModelFolderError(f"{path} is missing; a model folder holds it")
    try:
        with open(path, "rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise ModelFolderError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > limit:
        raise ModelFolderError(f"{path} is refused: larger than {limit} bytes")
    return content


def write_folder(folder: Path, config: Config, tensors: dict[str, Tensor]) -> None:
    """Write a model folder, new or over an old one; what else lies there is left alone.

    A kill may leave a hidden `.NAME.*.partial` behind, which nothing reads.

    Raises:
        ModelFolderError: the disk is full, the place is not writable, or a tensor is not finite.
    """
    content = encode_weights(tensors)
    files = {
        WEIGHTS_FILE: content,
        CONFIG_FILE: encode_config(config, digest(content)),  # last
    }
    try:
        if folder.exists():
            replace_files(folder, files)
        else:
            create_folder(folder, files)
    except OSError as error:
        raise ModelFolderError(f"{folder} cannot be written: {error.strerror}") from error


def holds(folder: Path, config: Config, tensors: dict[str, Tensor]) -> bool:
    """Whether a folder is of this very model: the same config and the same weights."""
    try:
        return read_config(folder) == (config, digest(encode_weights(tensors)))
    except ModelFolderError:
        return False


def encode_weights(tensors: dict[str, Tensor]) -> bytes:
    try:
        return weights.encode(tensors)
    except ValueError as error:
        raise ModelFolderError(f"these weights cannot be saved: {error}") from error


def create_folder(folder: Path, files: dict[str, bytes]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_of(folder)
    partial.mkdir()
    try:
        replace_files(partial, files)
        os.rename(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    sync_names(folder.parent)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
