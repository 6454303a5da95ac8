"""Files that are small and cost much: each is refused by its structure, in milliseconds."""

import io
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from mobilenetv3_cifar.containers import (
    TOO_MANY_BLOCKS,
    TOO_MANY_PIXELS,
    TOO_MANY_SCANS,
    container_fault,
)
from mobilenetv3_cifar.errors import ImageError
from mobilenetv3_cifar.images import UPLOAD_LIMITS, open_image

MAX_PIXELS = UPLOAD_LIMITS.megapixels * 1_000_000
SIZE = 9_900_000  # bytes: as many as the demo accepts
CHUNK = b"\0\0\0\0tEXt" + struct.pack(">I", zlib.crc32(b"tEXt"))


def encode(format, image=None, **options):
    buffer = io.BytesIO()
    (image or Image.new("RGB", (32, 32))).save(buffer, format=format, **options)
    return buffer.getvalue()


def gif_of_blocks(block):
    data = encode("GIF", Image.new("P", (32, 32)))
    start = 13 + (3 << (data[10] & 7) + 1)
    return data[:start] + block * (SIZE // len(block)) + data[start:]


def directory(count, kind, values, start=8):
    """An EXIF block whose tags all point at its first bytes."""
    tags = (struct.pack("<HHII", 1000 + tag, kind, values, 8) for tag in range(count))
    head = b"II*\0" + struct.pack("<I", start) + bytes(start - 8)
    return head + struct.pack("<H", count) + b"".join(tags)


def jpeg_of(block):
    data = encode("JPEG")
    return data[:2] + block * (SIZE // len(block)) + data[2:]


def avif_that_claims(size, image):
    data = encode("AVIF", image)
    place = data.index(b"ispe") + 8
    return data[:place] + struct.pack(">II", *size) + data[place + 8 :]


PNG = encode("PNG")
HEAVY = {
    "gif comments": gif_of_blocks(b"!\xfe\0"),
    "gif comment": gif_of_blocks(b"!\xfe" + b"\xff" + bytes(255) + b"\0"),
    "gif junk": gif_of_blocks(b"x"),
    "png chunks": PNG[:33] + CHUNK * (SIZE // 12) + PNG[33:],
    "jpeg comments": jpeg_of(b"\xff\xfe\0\2"),
    "jpeg padding": jpeg_of(b"\xff"),
    "webp chunks": b"RIFF\0\0\0\0WEBP" + b"XXXX\0\0\0\0" * (SIZE // 8),
    "ppm blanks": b"P6 " + b" " * SIZE + b"1 1 255 abc",
    "tiff tags": directory(3000, 7, SIZE // 2, start=SIZE),
    "tiff values": directory(1, 4, 2_000_000) + bytes(SIZE),
    "jpeg exif": encode("JPEG", exif=b"Exif\0\0" + directory(3000, 7, 20_000)),
    "avif exif": encode("AVIF", exif=b"Exif\0\0" + directory(3000, 7, 20_000)),
}


@pytest.mark.parametrize("name", HEAVY)
def test_many_blocks_are_refused_before_the_file_is_opened(name, monkeypatch):
    monkeypatch.setattr(Image, "open", None)
    begin = time.process_time()
    with pytest.raises(ImageError, match=TOO_MANY_BLOCKS):
        open_image(HEAVY[name])
    assert time.process_time() - begin < 0.2


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_many_tags_of_exif_are_refused_before_they_are_read(format):
    with pytest.raises(ImageError, match="damaged"):
        open_image(encode(format, exif=b"Exif\0\0" + directory(3000, 7, 20_000)))


def test_the_coded_size_of_an_avif_counts_and_not_what_it_claims():
    data = avif_that_claims((64, 48), Image.new("RGB", (640, 480)))
    assert Image.open(io.BytesIO(data)).size == (64, 48)
    assert container_fault(data, 640 * 480 - 1) == TOO_MANY_PIXELS
    assert container_fault(data, 640 * 480) is None


def test_the_coded_size_of_an_animated_avif_counts():
    frames = [Image.new("RGB", (64, 48), colour) for colour in ("red", "blue")]
    data = encode("AVIF", frames[0], save_all=True, append_images=frames[1:])
    assert container_fault(data, 64 * 48 - 1) == TOO_MANY_PIXELS
    assert container_fault(data, 64 * 48) is None


@pytest.mark.parametrize("lossless", [True, False])
def test_the_coded_size_of_a_webp_counts(lossless):
    data = encode("WEBP", Image.new("RGB", (300, 200)), lossless=lossless)
    assert container_fault(data, 300 * 200 - 1) == TOO_MANY_PIXELS
    assert container_fault(data, 300 * 200) is None


def test_scans_of_a_large_jpeg_are_refused_and_those_of_a_small_one_are_not():
    image = Image.new("L", (1000, 1000), 90)
    data = encode("JPEG", image, progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    data = data[:-2] + 50 * scan + data[-2:]
    assert container_fault(data, 1_000_000) == TOO_MANY_SCANS
    assert container_fault(data, MAX_PIXELS) is None


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM"])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
@pytest.mark.parametrize("size", [(20, 10), (641, 480)])
def test_ordinary_images_pass(format, mode, size):
    if (format, mode) == ("JPEG", "RGBA"):
        mode = "CMYK"
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 4), np.uint8)
    data = encode(format, Image.fromarray(pixels).convert(mode))
    assert container_fault(data, size[0] * size[1]) is None
    assert open_image(data).size == size


def test_a_cut_file_is_left_to_its_decoder_and_never_crashes():
    for format in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "AVIF", "PPM"):
        data = encode(format)
        for length in range(0, len(data), 7):
            container_fault(data[:length], MAX_PIXELS)
