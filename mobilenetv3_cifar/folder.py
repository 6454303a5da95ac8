"""Read and write model folders, which contain `config.json` and `model.safetensors`.

The config contains the SHA-256 of the weights and is written last. After an interrupted save, the
folder contains the old model, the new model, or new weights with the old config. Such a mixture is
refused, because the hash does not match. A new folder is created by one atomic rename.
"""

import os
import shutil
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from mobilenetv3_cifar import weights
from mobilenetv3_cifar.config import (
    MAX_CONFIG_BYTES,
    Config,
    decode_config,
    digest,
    encode_config,
    read_config,
    read_content,
)
from mobilenetv3_cifar.errors import ModelFolderError
from mobilenetv3_cifar.files import partial_of, replace_files
from mobilenetv3_cifar.variants import CONFIG_FILE, WEIGHTS_FILE

MAX_BYTES = {CONFIG_FILE: MAX_CONFIG_BYTES, WEIGHTS_FILE: weights.MAX_BYTES}


class ModelFolder(NamedTuple):
    """The content of a model folder."""

    path: Path
    config: Config
    tensors: dict[str, Tensor]  # on the CPU; counters are int64, all others float32
    repository: str | None = None  # "owner/name" if the folder is a cached Hub snapshot


def read_folder(folder: Path) -> ModelFolder:
    """Read and check a model folder. A ModelFolderError names the refused file and the reason."""
    return decode_folder(
        folder, {name: read_content(folder / name, MAX_BYTES[name]) for name in MAX_BYTES}
    )


def decode_folder(folder: Path, contents: dict[str, bytes]) -> ModelFolder:
    """Decode and check the contents of the two files. `folder` is not read and need not exist."""
    config, sha256 = decode_config(folder, contents[CONFIG_FILE])
    content = contents[WEIGHTS_FILE]
    try:
        weights.check_kind(content)  # before the hash check, whose message is less specific
        if digest(content) != sha256:
            raise ValueError(f"not the file that {CONFIG_FILE} names by its SHA-256")
        return ModelFolder(folder, config, weights.decode(content))
    except ValueError as error:
        raise ModelFolderError(f"{folder / WEIGHTS_FILE} is refused: {error}") from error


def write_folder(folder: Path, config: Config, tensors: dict[str, Tensor]) -> None:
    """Create a model folder, or replace the model in an existing folder and keep its other files.

    If the process is killed, a hidden file or folder `.*.partial` may remain. It is never read.

    Raises:
        ModelFolderError: the disk is full, the folder is not writable, or `read_folder` would
            refuse the result. In these cases no file is changed.
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
    """Whether the config file in a folder contains `config` and the hash of `tensors`."""
    try:
        return read_config(folder) == (config, digest(encode_weights(tensors)))
    except ModelFolderError:
        return False


def encode_weights(tensors: dict[str, Tensor]) -> bytes:
    try:
        return weights.encode(tensors)
    except ValueError as error:
        raise ModelFolderError(f"these weights cannot be saved: {error}") from error
