"""Read and write model folders, which contain `config.json` and `model.safetensors`.

The config contains the SHA-256 of the weights file and is written last. After an interrupted save,
the folder contains the old model, the new model, or new weights with the old config. `read_folder`
refuses this last combination, because the hash differs. A new folder is created by one atomic
rename.

A floating-point tensor is written as float16 if that is lossless, else as float32, and is always
read as float32. If a model that this version saved is loaded and saved again, its bytes stay the
same. A weights file is refused if its header is over 1 MiB or a value is not finite.
"""

import os
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from mobilenetv3_cifar.architecture import LAYOUTS
from mobilenetv3_cifar.config import (
    MAX_CONFIG_BYTES,
    Config,
    decode_config,
    digest,
    encode_config,
    read_config,
    read_content,
)
from mobilenetv3_cifar.errors import ModelFolderError, printable, quote
from mobilenetv3_cifar.files import partial_of, replace_files
from mobilenetv3_cifar.variants import CONFIG_FILE, WEIGHTS_FILE

# The limit for weights is generous: with 10 classes, the largest network's file is 17 MB.
MAX_BYTES = {CONFIG_FILE: MAX_CONFIG_BYTES, WEIGHTS_FILE: 64 * 2**20}
MAX_HEADER_BYTES = 2**20
# {first bytes of a file that is not a weights file: error message}. b"" matches every file.
NOT_WEIGHTS = {
    b"version https://git-lfs": "a Git LFS pointer, not weights: fetch the file itself",
    b"<": "an HTML page, not weights",
    b"PK": "a zip archive (a PyTorch checkpoint?), not safetensors; pickles are never opened",
    b"\x80": "a pickle, not safetensors; pickles are never opened",
    b"": "not safetensors: its first 8 bytes are not the length of a header",
}


class ModelFolder(NamedTuple):
    path: Path
    config: Config
    tensors: dict[str, Tensor]  # on the CPU; float32, except for batch norm's int64 counters
    repository: str | None = None  # "owner/name" if the model is from the Hub


def read_folder(folder: Path) -> ModelFolder:
    """Read and check a model folder. Raise a ModelFolderError if a file is missing or invalid."""
    contents = {name: read_content(folder / name, limit) for name, limit in MAX_BYTES.items()}
    return decode_folder(folder, contents)


def decode_folder(folder: Path, contents: dict[str, bytes]) -> ModelFolder:
    """Decode and check `contents`, {file name: bytes}. Error messages mention `folder`."""
    config, sha256 = decode_config(folder, contents[CONFIG_FILE])
    features = LAYOUTS[config.size, config.blocks].last
    if config.ood_weights and len(config.ood_weights) != features:
        raise ModelFolderError(
            f"{folder / CONFIG_FILE} is refused: ood_weights must have {features} entries"
        )
    content = contents[WEIGHTS_FILE]
    try:
        # The first 8 bytes are the header's length. The error for a wrong length is more specific
        # than the error for a wrong hash, so the length is checked first.
        if int.from_bytes(content[:8], "little") > MAX_HEADER_BYTES:
            start = next(start for start in NOT_WEIGHTS if content.startswith(start))
            raise ValueError(NOT_WEIGHTS[start])
        if digest(content) != sha256:
            raise ValueError(f"its SHA-256 is not the one in {CONFIG_FILE}")
        return ModelFolder(folder, config, decode_weights(content))
    except ValueError as error:
        raise ModelFolderError(f"{folder / WEIGHTS_FILE} is refused: {error}") from error


def write_folder(folder: Path, config: Config, tensors: dict[str, Tensor]) -> None:
    """Create a model folder, or replace the model in an existing folder and keep its other files.

    If the process is killed, a hidden file or folder `.*.partial` may remain, but is never read.

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
    """Return whether config.json in `folder` contains `config` and the hash of `tensors`."""
    try:
        return read_config(folder) == (config, digest(encode_weights(tensors)))
    except ModelFolderError:
        return False


def encode_weights(tensors: dict[str, Tensor]) -> bytes:
    """Encode `tensors` as a weights file. The bytes do not depend on the tensors' device."""
    try:
        packed = {name: pack(name, tensor) for name, tensor in tensors.items()}
        check_finite(packed)
        return save(packed, metadata={"format": "pt"})
    except ValueError as error:
        raise ModelFolderError(f"these weights cannot be saved: {error}") from error


def pack(name: str, tensor: Tensor) -> Tensor:
    """Convert a floating-point tensor to float16 if that is lossless, else to float32."""
    if tensor.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.int64):
        kinds = "float16, bfloat16, float32 or int64"
        raise ValueError(f"{quote(name)} is {tensor.dtype}, not {kinds}")
    if tensor.is_meta:
        raise ValueError(f"{quote(name)} is on the meta device and has no values")
    tensor = tensor.detach().cpu().contiguous()
    if not tensor.is_floating_point():
        return tensor
    exact = tensor.float()
    half = exact.half()
    return half if torch.equal(half.float(), exact) else exact


def decode_weights(content: bytes) -> dict[str, Tensor]:
    """Decode and check a weights file, and convert float16 tensors to float32."""
    try:
        tensors = load(content)
    # `load` raises KeyError for a dtype that torch lacks. For a tensor dimension of 2**63 or more,
    # it raises TypeError, OverflowError or RuntimeError.
    except (SafetensorError, KeyError, TypeError, OverflowError, RuntimeError) as error:
        raise ValueError(f"not a complete safetensors file ({printable(str(error))})") from error
    for name, tensor in tensors.items():
        if tensor.dtype not in (torch.float16, torch.float32, torch.int64):
            raise ValueError(f"tensor {quote(name)} is {tensor.dtype}, not F16, F32 or I64")
        if tensor.dtype == torch.float16:
            # Convert with NumPy, because torch's threads block each other on busy machines.
            tensors[name] = torch.from_numpy(tensor.numpy().astype(np.float32))
    check_finite(tensors)  # checking before the conversion from float16 would be slower
    return tensors


def check_finite(tensors: dict[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if not np.isfinite(tensor.numpy()).all():
            raise ValueError(f"tensor {quote(name)} has a value that is not finite")


def check_fit(tensors: dict[str, Tensor], expected: dict[str, Tensor], refused: str) -> None:
    """Raise ModelFolderError if `tensors` and `expected` differ in names, shapes or dtypes.

    All floating-point dtypes count as equal, because the network may be in half precision.
    The error message begins with `refused`.
    """
    given, wanted = (
        {name: describe(tensor) for name, tensor in each.items()} for each in (tensors, expected)
    )
    check_same("tensor", given, wanted, refused)


def check_same(kind: str, given: dict[str, str], wanted: dict[str, str], refused: str) -> None:
    """Raise ModelFolderError if two dicts {name: description of a tensor or layer} differ."""
    for name in sorted(wanted.keys() | given.keys()):
        actual, expected = given.get(name, "missing"), wanted.get(name, "absent")
        if actual != expected:
            what = f"{kind} {quote(name)} is {actual} but must be {expected}"
            raise ModelFolderError(f"{refused}: {what}")


def describe(tensor: Tensor) -> str:
    if not isinstance(tensor, Tensor):  # a quantized layer's state_dict has other types too
        return type(tensor).__name__
    kind = "float" if tensor.is_floating_point() else str(tensor.dtype)
    return f"{kind} {tuple(tensor.shape)}"
