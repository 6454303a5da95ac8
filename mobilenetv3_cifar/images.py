"""Open an image from any supported source and convert it to upright RGB.

The file size, and the width and height in the file's header, are checked against `Limits` before
any pixel is decoded. Decoding a malicious file can still take a lot of time or memory, so a
server should open uploads in a process with resource limits. Colour profiles are not applied,
because CIFAR-10 images have none.
"""

import io
import os
import re
import struct
import sys
import zlib
from collections.abc import Iterable, Mapping, Set
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeAlias, TypeGuard
from zipfile import BadZipFile

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from mobilenetv3_cifar.errors import ImageError, ImageTypeError

if TYPE_CHECKING:
    from torch import Tensor

# The types that `open_image` accepts. Arrays and tensors are uint8 of shape (H, W), (H, W, 1) or
# (H, W, 3). Tensors may also have the shape (1, H, W) or (3, H, W).
ImageInput: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO"
    " | Image.Image | np.ndarray | Tensor"
)


class Limits(NamedTuple):
    megabytes: int  # size of the file
    megapixels: int
    aspect: int  # the longer side divided by the shorter side


UPLOAD_LIMITS = Limits(megabytes=20, megapixels=25, aspect=50)
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM")
URL = re.compile(r"^([a-z][a-z0-9+.-]+://|data:)", re.IGNORECASE)
# Errors that Pillow's decoders raise on damaged files. Other errors are not caught: for example, a
# caller's signal handler may raise an error to stop a slow call.
DAMAGED = (
    *(OSError, EOFError, ValueError, SyntaxError, TypeError, AttributeError, LookupError),
    *(ArithmeticError, RuntimeError, MemoryError, struct.error),
)
# Errors that reading a file raises if it is closed, cut short or damaged, also if the file is an
# HTTP response, or is in a gzip or zip archive.
UNREADABLE = (OSError, EOFError, ValueError, HTTPException, zlib.error, BadZipFile)
# {EXIF orientation: the operation that turns the image upright}
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_image(source: ImageInput, limits: Limits | None = UPLOAD_LIMITS) -> Image.Image:
    """Make a new RGB image from a path, bytes, a binary file, a PIL image, an array or a tensor.

    Only the first frame of an animation is used. Transparent images get a white background.

    Args:
        limits: the limits on file size, pixels and aspect ratio. If None, which is meant only for
            trusted images, the only limit is Pillow's: twice `PIL.Image.MAX_IMAGE_PIXELS`.

    Raises:
        ImageError: the image cannot be opened or exceeds `limits`.
        ImageTypeError: the type, dtype or shape is not supported.
    """
    name, data = "the image", b""
    if isinstance(source, Image.Image):
        image = source
    elif isinstance(source, np.ndarray) or is_tensor(source):
        image = from_array(source)
    else:
        if isinstance(source, str | os.PathLike):
            name = repr(os.path.basename(os.fsdecode(source))[-80:])
        data = read_bytes(source, name, limits)
    try:
        if data:
            image = Image.open(io.BytesIO(data), formats=FORMATS)  # reads only the header
        check_size(image, name, limits)
        return decode(image)
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        formats = ", ".join(FORMATS)
        raise ImageError(f"{name} is not an image in one of these formats: {formats}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise too_many_pixels(name, limits) from error
    except DAMAGED as error:
        raise damaged(name) from error


def is_batch(images: object) -> bool:
    """Return whether `images` is a batch, such as a list or 4-D array, rather than one image."""
    if isinstance(images, np.ndarray) or is_tensor(images):
        return images.ndim == 4
    single = str | os.PathLike | bytes | bytearray | memoryview | Image.Image
    if isinstance(images, single) or hasattr(images, "read"):
        return False
    if isinstance(images, Iterable) and not isinstance(images, Mapping | Set):
        return True
    raise ImageTypeError(
        "the input must be an image (a path, bytes, a binary file, a PIL image, a uint8 array or "
        f"tensor) or a list of images, not {type(images).__name__}"
    )


def is_tensor(source: object) -> "TypeGuard[Tensor]":
    torch = sys.modules.get("torch")  # if torch is not imported, no object can be a tensor
    return torch is not None and isinstance(source, torch.Tensor)


def from_array(source: "np.ndarray | Tensor") -> Image.Image:
    """Convert a uint8 array or tensor to a PIL image. `ImageInput` lists the allowed shapes."""
    array: Any = source
    is_uint8 = str(source.dtype).removeprefix("torch.") == "uint8"
    if is_uint8 and is_tensor(source):
        array = source.cpu().numpy()
        if array.ndim == 3 and len(array) in (1, 3):
            array = array.transpose(1, 2, 0)
    if not is_uint8 or array.ndim < 2 or array.shape[2:] not in ((), (1,), (3,)):
        raise ImageTypeError(
            "arrays must be uint8 of shape (H, W, 3) or (H, W), and tensors must be uint8 of shape "
            f"(3, H, W), not {source.dtype} of shape {tuple(source.shape)}"
        )
    if 0 in array.shape:
        raise ImageError("the image has no pixels")
    return Image.fromarray(array[..., 0] if array.shape[2:] == (1,) else array)


def read_bytes(source: Any, name: str, limits: Limits | None) -> bytes:
    """Return the content of `source`, or raise an ImageError."""
    size = -1 if limits is None else limits.megabytes * 1_000_000 + 1
    if isinstance(source, bytes | bytearray | memoryview):
        data = bytes(source)
    elif isinstance(source, str | os.PathLike):
        data = read_path(os.fsdecode(source), name, size)
    elif hasattr(source, "read"):
        as_text = ImageTypeError("a file must be opened in binary mode, such as open(path, 'rb')")
        if isinstance(source, io.TextIOBase):
            raise as_text
        try:
            data = source.read() if limits is None else source.read(size)
        except UNREADABLE as error:
            raise ImageError(f"{name} cannot be read: {error}") from error
        if not isinstance(data, bytes):
            raise as_text
    else:
        raise ImageTypeError(
            "an image must be a path, bytes, a binary file, a PIL image, or a uint8 array or "
            f"tensor, not {type(source).__name__}"
        )
    if not data:
        raise ImageError(f"{name} is empty")
    if limits is not None and len(data) >= size:
        raise ImageError(f"{name} is larger than {limits.megabytes} MB")
    return data


def read_path(path: str, name: str, size: int) -> bytes:
    """Read at most `size` bytes of the file at `path`, or the whole file if `size` is -1."""
    if URL.match(path):
        raise ImageError(f"{name} is a URL, which is not fetched: pass urllib.request.urlopen(url)")
    file = Path(path)
    try:
        # Reading a pipe or a device could block forever.
        if not file.is_file():
            raise ImageError(f"{name} is not a file" if file.exists() else f"{name} does not exist")
        with file.open("rb") as opened:
            return opened.read(size)
    except OSError as error:
        raise ImageError(f"{name} cannot be read: {error.strerror}") from error


def check_size(image: Image.Image, name: str, limits: Limits | None) -> None:
    """Refuse an image that has no pixels or exceeds `limits`."""
    short, long = sorted(image.size)
    if short < 1:
        raise ImageError(f"{name} has no pixels")
    if limits is None:
        return
    if short * long > limits.megapixels * 1_000_000:
        raise too_many_pixels(name, limits)
    if long > limits.aspect * short:
        # The message omits the size, because the demo's page may have reduced the image.
        what = f"one side is more than {limits.aspect} times as long as the other"
        raise ImageError(f"{name} is too narrow: {what}")


def decode(image: Image.Image) -> Image.Image:
    """Decode the image, convert it to RGB, and turn it upright according to its EXIF data."""
    image.load()
    rgb = to_rgb(image)
    orientation = image.getexif().get(ExifTags.Base.Orientation)
    rgb.info = {}  # drops the orientation, so that no viewer turns a saved copy again
    return rgb.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else rgb


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to RGB. Pillow alone would clip values of more than 8 bits."""
    if image.mode in ("I", "F"):
        return Image.fromarray(to_eight_bits(np.asarray(image))).convert("RGB")
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "La":
        image = image.convert("LA")  # Pillow converts this mode to no other
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def to_eight_bits(values: np.ndarray) -> np.ndarray:
    """Convert grey values of the image modes "I" and "F", which define no white value, to uint8.

    White is assumed to be the smallest of 1, 255 and 65,535 that no grey value exceeds. If a grey
    value exceeds 65,535, white is the largest grey value.
    """
    grey: np.ndarray = np.nan_to_num(values.astype(np.float32), posinf=0, neginf=0)
    largest = float(grey.max())
    white = next((usual for usual in (1, 255, 65_535) if largest <= usual), largest)
    return (grey / white * 255).clip(0, 255).round().astype(np.uint8)


def too_many_pixels(name: str, limits: Limits | None) -> ImageError:
    if limits is None:
        return ImageError(f"{name} has more pixels than PIL.Image.MAX_IMAGE_PIXELS allows")
    return ImageError(f"{name} has more than {limits.megapixels} million pixels")


def damaged(name: str) -> ImageError:
    return ImageError(f"{name} is damaged or cut short")
