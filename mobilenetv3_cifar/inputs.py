"""The types that callers may pass as images, and conversion of arrays and tensors to PIL images.

This module need not import torch: no object can be a tensor until other code imports torch.
"""

import os
import sys
from collections.abc import Iterable, Mapping, Set
from typing import TYPE_CHECKING, BinaryIO, TypeAlias, TypeGuard

import numpy as np
from PIL import Image

from mobilenetv3_cifar.errors import ImageError, ImageTypeError

if TYPE_CHECKING:
    from torch import Tensor

# The types that an image may have. Arrays and tensors are uint8 of shape (H, W), (H, W, 1) or
# (H, W, 3). Tensors may also have the shape (1, H, W) or (3, H, W).
ImageInput: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO"
    " | Image.Image | np.ndarray | Tensor"
)


def is_batch(images: object) -> bool:
    """Whether the argument is several images, such as a list or a 4-D array, rather than one image.

    Raises:
        ImageTypeError: the argument is neither one image nor several images.
    """
    if isinstance(images, np.ndarray) or is_tensor(images):
        return images.ndim == 4
    if isinstance(images, str | os.PathLike | bytes | bytearray | memoryview | Image.Image):
        return False
    if hasattr(images, "read"):
        return False
    if isinstance(images, Iterable) and not isinstance(images, Mapping | Set):
        return True
    raise ImageTypeError(
        "images must be an image (a path, bytes, a binary file, a PIL image, a uint8 array or "
        f"tensor) or a list of images, not {type(images).__name__}"
    )


def is_tensor(source: object) -> "TypeGuard[Tensor]":
    torch = sys.modules.get("torch")  # if torch is not imported, no object can be a tensor
    return torch is not None and isinstance(source, torch.Tensor)


def from_tensor(tensor: "Tensor") -> Image.Image:
    """Convert a tensor as `from_array` does. It may also have shape (1, H, W) or (3, H, W)."""
    if str(tensor.dtype) != "torch.uint8":
        raise wrong_array(tensor)
    array = tensor.cpu().numpy()
    first = array.ndim == 3 and len(array) in (1, 3)
    return from_array(array.transpose(1, 2, 0) if first else array)


def from_array(array: np.ndarray) -> Image.Image:
    """Convert a uint8 array to a PIL image: (H, W, 3) is RGB, (H, W) and (H, W, 1) are grey."""
    if array.dtype != np.uint8 or array.shape[2:] not in ((), (1,), (3,)) or array.ndim < 2:
        raise wrong_array(array)
    if not array.size:
        raise ImageError("the image has no pixels")
    return Image.fromarray(array[..., 0] if array.shape[2:] == (1,) else array)


def wrong_array(array: "np.ndarray | Tensor") -> ImageTypeError:
    return ImageTypeError(
        "an array must be uint8 of shape (H, W, 3) or (H, W), a tensor uint8 of shape (3, H, W), "
        f"not {array.dtype} of shape {tuple(array.shape)}"
    )
