"""What an image file would cost to open, from its structure alone: nothing is decoded.

Pillow walks through a file's blocks in Python, and some decoders trust the coded size over the one
that the container claims. A small file can so take minutes or gigabytes. Each check here stops at
a limit that no camera or program comes near.
"""

import re
import struct
from collections.abc import Callable

from mobilenetv3_cifar.avif import av1_images
from mobilenetv3_cifar.obu import av1_cost

MAX_BLOCKS = 2_000  # GIF sub-blocks and JPEG segments before the image: an ICC profile has 300
MAX_CHUNKS = 20_000  # of PNG and WebP: 20 MB in the smallest usual chunks
MAX_VALUES = 100_000  # of one TIFF tag, such as the offset of each row
MAX_PASSES = 20  # of a JPEG over 25 million pixels; over fewer pixels, more
MAX_FRAMES = 16  # coded in one AVIF item; a still image has one

TOO_MANY_BLOCKS = "has more blocks than an image needs"
TOO_MANY_PIXELS = "holds more pixels than it claims, or than are read"
TOO_MANY_SCANS = "is a JPEG of too many scans for its size"


def container_fault(data: bytes, max_pixels: int) -> str | None:
    """Why this file must not be opened, to follow its name, or None.

    A file that is cut short or damaged is none of this function's business.
    """
    for magic, check in CHECKS.items():
        if re.match(magic, data, re.DOTALL):
            try:
                return check(data, max_pixels)
            except (IndexError, struct.error):
                return None  # it is cut short; its decoder says so
    return None


def gif_fault(data: bytes, max_pixels: int) -> str | None:
    """Extensions before the first frame: Pillow joins comments one by one, in quadratic time."""
    flags = data[10]
    position = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    blocks = 0
    while data[position] not in b",;":
        blocks += 1
        position += 1
        if data[position - 1] == ord("!"):
            position += 1
            while size := data[position]:
                position += size + 1
                blocks += 1
                if blocks > MAX_BLOCKS:
                    return TOO_MANY_BLOCKS
            position += 1
        if blocks > MAX_BLOCKS:
            return TOO_MANY_BLOCKS
    return None


def png_fault(data: bytes, max_pixels: int) -> str | None:
    position = 8
    for _ in range(MAX_CHUNKS):
        (length,) = struct.unpack_from(">I", data, position)
        position += 12 + length
        if position >= len(data):
            return None
    return TOO_MANY_BLOCKS


def jpeg_fault(data: bytes, max_pixels: int) -> str | None:
    """Segments before the first scan, what their directories hold, and the work of all scans."""
    position, pixels, exif = 2, 0, b""
    for _ in range(MAX_BLOCKS):
        marker = data[position + 1] if data[position] == 0xFF else 0xFF
        if marker == 0xDA:
            passes = data.count(b"\xff\xda")
            if pixels * passes > MAX_PASSES * max_pixels:
                return TOO_MANY_SCANS
            return ifd_fault(exif)
        if marker in (0x00, 0xFF) or 0xD0 <= marker <= 0xD8:
            position += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        segment = data[position + 4 : position + 2 + length]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", segment, 1)
            pixels = max(pixels, width * height)
        elif segment.startswith(b"Exif\0\0"):
            exif += segment[6:]
        elif segment.startswith(b"MPF\0") and (fault := ifd_fault(segment[4:])):
            return fault
        position += 2 + length
    return TOO_MANY_BLOCKS


def webp_fault(data: bytes, max_pixels: int) -> str | None:
    position = 12
    for _ in range(MAX_CHUNKS):
        if position + 8 > len(data):
            return None
        kind, length = struct.unpack_from("<4sI", data, position)
        position += 8
        if kind == b"ANMF":
            position += 16  # its chunks follow
            continue
        if webp_pixels(kind, data[position : position + 10]) > max_pixels:
            return TOO_MANY_PIXELS
        position += length + length % 2
    return TOO_MANY_BLOCKS


def webp_pixels(kind: bytes, head: bytes) -> int:
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", head, 6)
        return (width & 0x3FFF) * (height & 0x3FFF)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", head, 1)
        return ((bits & 0x3FFF) + 1) * ((bits >> 14 & 0x3FFF) + 1)
    return 0


def ifd_fault(data: bytes) -> str | None:
    """The first directory of a TIFF file or an EXIF block: Pillow copies what each tag points at.

    Many tags may point at the same bytes, so that copies of a small file fill the memory.
    """
    if len(data) < 8:
        return None
    order = ">" if data[:2] == b"MM" else "<"
    big = data[2] == 43
    number, entry = ("Q", "HHQ") if big else ("I", "HHI")
    try:
        (start,) = struct.unpack_from(order + number, data, 8 if big else 4)
        (entries,) = struct.unpack_from(order + ("Q" if big else "H"), data, start)
        start += 8 if big else 2
        total = 0
        if entries > 65_535:
            return TOO_MANY_BLOCKS
        for index in range(entries):
            place = start + index * (20 if big else 12)
            _, kind, count = struct.unpack_from(order + entry, data, place)
            total += count * SIZES.get(kind, 0)
            if (kind not in (1, 2, 7) and count > MAX_VALUES) or total > 2 * len(data):
                return TOO_MANY_BLOCKS
    except struct.error:
        return None
    return None


def ppm_fault(data: bytes, max_pixels: int) -> str | None:
    """Comments and blanks of the header: Pillow reads them byte by byte."""
    words = re.sub(rb"#[^\r\n]*[\r\n]?", b" ", data[:4000]).split(maxsplit=4)
    return TOO_MANY_BLOCKS if len(data) > 4000 and len(words) < 4 else None


def avif_fault(data: bytes, max_pixels: int) -> str | None:
    """The size that is coded in each image of the file, which its header need not say."""
    total = 0
    try:
        for image in av1_images(data):
            pixels, frames = av1_cost(image)
            total += pixels
            if pixels > max_pixels or total > 3 * max_pixels:
                return TOO_MANY_PIXELS
            exif = re.search(rb"II\*\0|MM\0\*", image[:20])
            if frames > MAX_FRAMES or (exif and ifd_fault(image[exif.start() :])):
                return TOO_MANY_BLOCKS
    except (IndexError, struct.error):
        return "is damaged or cut short"
    return None


SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
CHECKS: dict[bytes, Callable[[bytes, int], str | None]] = {
    rb"GIF8": gif_fault,
    rb"\x89PNG": png_fault,
    rb"\xff\xd8": jpeg_fault,
    rb"RIFF....WEBP": webp_fault,
    rb"....ftyp": avif_fault,
    rb"P[1-7Ffy]": ppm_fault,
    rb"II|MM": lambda data, max_pixels: ifd_fault(data),
}
