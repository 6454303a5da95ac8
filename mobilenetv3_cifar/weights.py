"""The weights file: named tensors to safetensors bytes and back, bit for bit, strictly.

A floating tensor is written as float16 where that loses nothing, else as float32, and always read
as float32: reading and writing again gives the same bytes. safetensors lets duplicate names, values
that are not finite and headers of 100 MB pass; they are refused here.
"""

import json
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from mobilenetv3_cifar.errors import printable, quote

MAX_BYTES = 64 * 2**20  # of the whole file; the largest network has 17 MB
MAX_HEADER_BYTES = 2**20
LENGTH_BYTES = 8  # the file starts with the length of its header, little-endian
NOT_WEIGHTS = {
    b"version https://git-lfs": "a Git LFS pointer, not weights: fetch the file itself",
    b"<": "an HTML page, not weights",
    b"PK": "a zip archive (a PyTorch checkpoint?), not safetensors; pickles are never opened",
    b"\x80": "a pickle, not safetensors; pickles are never opened",
}


def encode(tensors: dict[str, Tensor]) -> bytes:
    """Tensors on any device -> the content of a weights file; equal tensors give equal bytes.

    Raises:
        ValueError: a tensor is neither float16, bfloat16, float32 nor int64, or is not finite.
    """
    for name, tensor in tensors.items():
        if tensor.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.int64):
            raise ValueError(
                f"{quote(name)} is {tensor.dtype}; weights are float32, counters int64"
            )
    packed = {name: pack(tensor.detach().cpu()) for name, tensor in tensors.items()}
    check_finite(packed)
    return save(packed, metadata={"format": "pt"})


def pack(tensor: Tensor) -> Tensor:
    """The narrower of float16 and float32 that holds every value; counters stay as they are."""
    if not tensor.is_floating_point():
        return tensor.contiguous()
    exact = tensor.float().contiguous()
    half = exact.half()
    return half if torch.equal(half.float(), exact) else exact


def decode(content: bytes) -> dict[str, Tensor]:
    """The content of a weights file -> its tensors, on the CPU: float32, and int64 for counters.

    Raises:
        ValueError: it is not a whole safetensors file of finite F16, F32 and I64 tensors.
    """
    check_header(content)
    try:
        tensors = load(content)
    # torch has no name for some dtypes (KeyError), and no sizes from 2**63 (the last three).
    except (SafetensorError, KeyError, TypeError, OverflowError, RuntimeError) as error:
        raise ValueError(f"not a whole safetensors file ({printable(str(error))})") from error
    for name, tensor in tensors.items():
        if tensor.dtype not in (torch.float16, torch.float32, torch.int64):
            raise ValueError(f"tensor {quote(name)} is {tensor.dtype}, not F16, F32 or I64")
    widened = {name: widen(tensor) for name, tensor in tensors.items()}
    check_finite(widened)  # of float32, several times as fast as of float16
    return widened


def widen(tensor: Tensor) -> Tensor:
    """float16 -> float32, by numpy: torch's threads would wait for each other on a busy machine."""
    half = tensor.dtype == torch.float16
    return torch.from_numpy(tensor.numpy().astype(np.float32)) if half else tensor


def check_header(content: bytes) -> None:
    """Refuse, before anything is parsed, another kind of file or a suspicious header."""
    length = int.from_bytes(content[:LENGTH_BYTES], "little")
    if len(content) < LENGTH_BYTES or length > MAX_HEADER_BYTES:
        raise ValueError(name_content(content))
    header = content[LENGTH_BYTES : LENGTH_BYTES + length]
    if len(header) < length:
        raise ValueError("cut off within its header")
    if not header.startswith(b"{"):
        raise ValueError("not safetensors: its header does not start with a brace")
    parse_json(header)


def name_content(content: bytes) -> str:
    """What a file that is not safetensors is instead, as far as its first bytes tell."""
    for start, kind in NOT_WEIGHTS.items():
        if content.startswith(start):
            return kind
    return "not safetensors: its first 8 bytes are not a header length" if content else "empty"


def check_finite(tensors: dict[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if not np.isfinite(tensor.numpy()).all():
            raise ValueError(f"tensor {quote(name)} has a value that is not finite")


def check_fit(tensors: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Raise ValueError, naming the tensor, unless names and shapes are those expected.

    Floating types may differ: a network may be in half precision, and what is read is float32.
    """
    for name in sorted(expected.keys() | tensors.keys()):
        if name not in tensors:
            raise ValueError(f"tensor {quote(name)} is missing")
        if name not in expected:
            raise ValueError(f"tensor {quote(name)} does not belong to this network")
        given, wanted = describe(tensors[name]), describe(expected[name])
        if given != wanted:
            raise ValueError(f"tensor {quote(name)} is {given}, not {wanted}")


def describe(tensor: Tensor) -> str:
    kind = "float" if tensor.is_floating_point() else str(tensor.dtype)
    return f"{kind} {tuple(tensor.shape)}"


def parse_json(content: bytes) -> Any:
    """UTF-8 JSON without duplicate keys, NaN or infinities; anything else raises ValueError."""
    try:
        text = content.decode("utf-8")
        return json.loads(text, object_pairs_hook=unique, parse_constant=refuse_constant)
    except RecursionError as error:
        raise ValueError("JSON nested too deeply") from error


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"the key {quote(key)} occurs twice")
        values[key] = value
    return values


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")
