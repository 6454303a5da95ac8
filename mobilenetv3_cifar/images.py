"""Opening what a stranger sends: a picture from any source -> RGB, upright; or an ImageError.

The idea: what decoding would cost is known before it begins, so a small file that claims to be a
huge picture, or one of endless scans, costs nothing. Colour profiles are not applied: CIFAR-10 has
none.
"""

import io
import math
import os
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from mobilenetv3_cifar.containers import container_fault, ifd_fault
from mobilenetv3_cifar.errors import ImageError

Source = str | os.PathLike[str] | bytes | BinaryIO | Image.Image | np.ndarray

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM")
MAX_BYTES = 20_000_000
MAX_PIXELS = 25_000_000  # phones make pictures of 12 to 24 million
MAX_ASPECT = 50  # the longer side over the shorter one
MAX_SCANS = 100  # of a JPEG: each is a pass over all its pixels, however few bytes it has
SCAN = b"\xff\xda"  # begins one, and never stands within its data
SLOW = ("bmp_rle", "ppm_plain")  # decoded in Python, seconds for a few kilobytes
TILE_SIDES = (322, 323)  # TIFF tags: a tile may be larger than its picture

# What Pillow's decoders raise on damaged files.
DAMAGED = (
    OSError,
    ValueError,
    SyntaxError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    RuntimeError,
    MemoryError,
    struct.error,
)
TOO_LARGE = (Image.DecompressionBombError, Image.DecompressionBombWarning)
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_image(source: Source) -> Image.Image:
    """A path, bytes, a binary file, a PIL image or a uint8 (H, W, 3) array -> a new RGB image.

    Of an animation the first frame is taken; what is transparent is laid over white.

    Raises:
        ImageError: it cannot or must not be opened; one sentence with the file's name and why.
    """
    name = "the picture"
    if isinstance(source, np.ndarray):
        image = from_array(source)
    elif isinstance(source, Image.Image):
        image = source
    else:
        if isinstance(source, str | os.PathLike):
            name = repr(Path(source).name[-80:])
        data = read_bytes(source, name)
        if fault := container_fault(data, MAX_PIXELS):
            raise ImageError(f"{name} {fault}")
        image = read_header(data, name)
        check_cost(image, data, name)
    check_size(image.size, name)
    return decode(image, name)


def from_array(array: np.ndarray) -> Image.Image:
    """uint8 (H, W, 3), red green blue -> the same as a PIL image."""
    fits = array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == 3 and array.size
    if not fits:
        raise ImageError(
            f"an array must be uint8 of shape (H, W, 3), not {array.dtype} of shape {array.shape}"
        )
    return Image.fromarray(array)


def read_bytes(source: str | os.PathLike[str] | bytes | BinaryIO, name: str) -> bytes:
    """The whole file, unless it is empty or too long."""
    if isinstance(source, bytes):
        data = source
    elif isinstance(source, str | os.PathLike):
        data = read_file(Path(source), name)
    elif hasattr(source, "read"):
        data = source.read(MAX_BYTES + 1)
    else:
        raise ImageError(f"a picture cannot be made from {type(source).__name__}")
    if not data:
        raise ImageError(f"{name} is empty")
    if len(data) > MAX_BYTES:
        raise ImageError(f"{name} is larger than {MAX_BYTES // 1_000_000} MB")
    return data


def read_file(path: Path, name: str) -> bytes:
    # A pipe or a device would block for ever, a folder has no bytes.
    if not path.is_file():
        raise ImageError(f"{name} is not a file" if path.exists() else f"{name} does not exist")
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ImageError(f"{name} cannot be read: {error.strerror}") from error


def read_header(data: bytes, name: str) -> Image.Image:
    """What the file says it is; no pixel is decoded yet."""
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        formats = ", ".join(FORMATS)
        raise ImageError(f"{name} is not a picture of these formats: {formats}") from error
    except TOO_LARGE as error:
        raise too_many_pixels(name) from error
    except DAMAGED as error:
        raise damaged(name) from error


def check_cost(image: Image.Image, data: bytes, name: str) -> None:
    """Refuse what takes far longer, or more memory, than its size in pixels says."""
    if image.format in ("JPEG", "MPO") and data.count(SCAN) > MAX_SCANS:
        raise ImageError(f"{name} is a JPEG of more than {MAX_SCANS} scans")
    if any(tile[0] in SLOW for tile in getattr(image, "tile", ())):
        raise ImageError(f"{name} is packed in a way that takes too long to open")
    sides = [getattr(image, "tag_v2", {}).get(tag) for tag in TILE_SIDES]
    if math.prod(side for side in sides if isinstance(side, int)) > MAX_PIXELS:
        raise too_many_pixels(name)


def check_size(size: tuple[int, int], name: str) -> None:
    short, long = sorted(size)
    if short < 1:
        raise ImageError(f"{name} has no pixels")
    if short * long > MAX_PIXELS:
        raise too_many_pixels(name)
    if long > MAX_ASPECT * short:
        raise ImageError(
            f"{name} is too narrow: {size[0]}x{size[1]} pixels, more than {MAX_ASPECT} to 1"
        )


def decode(image: Image.Image, name: str) -> Image.Image:
    """All pixels as RGB, the way up that the camera noted."""
    try:
        image.load()
        rgb = to_rgb(image)
        if ifd_fault(image.info.get("exif", b"").removeprefix(b"Exif\0\0")):
            raise damaged(name)
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except DAMAGED as error:
        raise damaged(name) from error
    rgb.info = {}  # so that what was turned upright is not turned again when it is opened again
    return rgb.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else rgb


def to_rgb(image: Image.Image) -> Image.Image:
    """Every mode to RGB; Pillow's own `convert` would clip what has more than 8 bits."""
    if image.mode in ("I", "F"):
        return Image.fromarray(to_eight_bits(np.asarray(image))).convert("RGB")
    if image.mode.startswith("I;16"):
        high_bytes = (np.asarray(image) >> 8).astype(np.uint8)
        return Image.fromarray(high_bytes).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def to_eight_bits(values: np.ndarray) -> np.ndarray:
    """(H, W) of a mode without a full scale -> uint8, by the smallest usual one that holds it.

    The usual ones are 1, 255 and 65,535; beyond those the largest value becomes white.
    """
    grey: np.ndarray = np.nan_to_num(values.astype(np.float32), posinf=0, neginf=0)
    largest = float(grey.max())
    if largest <= 1:
        grey = grey * 255 + 0.5
    elif 255 < largest <= 65_535:
        grey = grey / 256
    elif largest > 65_535:
        grey = grey / largest * 255
    return grey.clip(0, 255).astype(np.uint8)


def too_many_pixels(name: str) -> ImageError:
    return ImageError(f"{name} has more than {MAX_PIXELS // 1_000_000} million pixels")


def damaged(name: str) -> ImageError:
    return ImageError(f"{name} is damaged or cut short")
