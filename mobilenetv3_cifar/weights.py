"""Encode named tensors as a safetensors weights file, and decode and check such a file.

A floating-point tensor is written as float16 if that is lossless, else as float32. It is always
read as float32. Reading a file and writing it again gives the same bytes. The library safetensors
accepts headers of 100 MB and values that are not finite. This module refuses both.
"""

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from mobilenetv3_cifar.errors import ModelFolderError, printable, quote

MAX_BYTES = 64 * 2**20  # for the whole file; the largest network's file has 17 MB
MAX_HEADER_BYTES = 2**20
NOT_WEIGHTS = {
    b"version https://git-lfs": "a Git LFS pointer, not weights: fetch the file itself",
    b"<": "an HTML page, not weights",
    b"PK": "a zip archive (a PyTorch checkpoint?), not safetensors; pickles are never opened",
    b"\x80": "a pickle, not safetensors; pickles are never opened",
    b"": "not safetensors: its first 8 bytes are not the length of a header",
}


def encode(tensors: dict[str, Tensor]) -> bytes:
    """Tensors on any device -> the content of a weights file; equal tensors give equal bytes.

    Raises:
        ValueError: a tensor's dtype is not float16, bfloat16, float32 or int64, or a value is not
            finite, or a tensor is on the device "meta".
    """
    for name, tensor in tensors.items():
        if tensor.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.int64):
            raise ValueError(
                f"{quote(name)} is {tensor.dtype}; weights are float32, counters int64"
            )
        if tensor.is_meta:
            raise ValueError(f"{quote(name)} is on the device meta and has no values")
    packed = {name: pack(tensor.detach().cpu()) for name, tensor in tensors.items()}
    check_finite(packed)
    return save(packed, metadata={"format": "pt"})


def pack(tensor: Tensor) -> Tensor:
    """Convert to float16 if that is lossless, else to float32. Integer counters stay unchanged."""
    if not tensor.is_floating_point():
        return tensor.contiguous()
    exact = tensor.float().contiguous()
    half = exact.half()
    return half if torch.equal(half.float(), exact) else exact


def decode(content: bytes) -> dict[str, Tensor]:
    """The content of a weights file -> tensors on the CPU: float32, and int64 for counters.

    Raises:
        ValueError: the content is not a complete safetensors file, or a tensor is not F16, F32 or
            I64, or a value is not finite.
    """
    check_kind(content)
    try:
        tensors = load(content)
    # `load` raises KeyError for a dtype that torch lacks. For a tensor dimension of 2**63 or more,
    # it raises TypeError, OverflowError or RuntimeError.
    except (SafetensorError, KeyError, TypeError, OverflowError, RuntimeError) as error:
        raise ValueError(f"not a whole safetensors file ({printable(str(error))})") from error
    for name, tensor in tensors.items():
        if tensor.dtype not in (torch.float16, torch.float32, torch.int64):
            raise ValueError(f"tensor {quote(name)} is {tensor.dtype}, not F16, F32 or I64")
    widened = {name: widen(tensor) for name, tensor in tensors.items()}
    check_finite(widened)  # float32 is checked several times faster than float16
    return widened


def check_kind(content: bytes) -> None:
    """Refuse a file whose first 8 bytes are too large to be the header length of safetensors."""
    if int.from_bytes(content[:8], "little") > MAX_HEADER_BYTES:
        kinds = (kind for start, kind in NOT_WEIGHTS.items() if content.startswith(start))
        raise ValueError(next(kinds))


def widen(tensor: Tensor) -> Tensor:
    """Convert float16 to float32 with numpy: torch's threads block each other on busy machines."""
    half = tensor.dtype == torch.float16
    return torch.from_numpy(tensor.numpy().astype(np.float32)) if half else tensor


def check_finite(tensors: dict[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if not np.isfinite(tensor.numpy()).all():
            raise ValueError(f"tensor {quote(name)} has a value that is not finite")


def check_fit(tensors: dict[str, Tensor], expected: dict[str, Tensor], refused: str) -> None:
    """Raise ModelFolderError if names, shapes or dtypes of `tensors` are not as in `expected`.

    The message starts with `refused`. All floating-point dtypes count as equal, because decoded
    tensors are always float32, while the network may be in half precision.
    """
    for name in sorted(expected.keys() | tensors.keys()):
        given = describe(tensors.get(name), "missing")
        wanted = describe(expected.get(name), "part of this network")
        if given != wanted:
            raise ModelFolderError(f"{refused}: tensor {quote(name)} is {given}, not {wanted}")


def describe(tensor: Tensor | None, none: str) -> str:
    if not isinstance(tensor, Tensor):  # None, or a non-tensor entry of a quantized layer
        return none if tensor is None else type(tensor).__name__
    kind = "float" if tensor.is_floating_point() else str(tensor.dtype)
    return f"{kind} {tuple(tensor.shape)}"
