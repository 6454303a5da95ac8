"""These tests open AVIF files whose boxes claim fewer pixels than their frames have."""

import io

import pytest
from PIL import Image

from mobilenetv3_cifar.avif import coded_pixels
from mobilenetv3_cifar.errors import ImageError
from mobilenetv3_cifar.images import Limits, open_image

LIMITS = Limits(megabytes=1, megapixels=1, aspect=50)


def avif(size, mode, claimed, **options):
    buffer = io.BytesIO()
    image = Image.new(mode, size)
    options |= {"speed": 10, "append_images": [image] if options else []}
    image.save(buffer, "AVIF", **options)
    true, false = (b"".join(side.to_bytes(4, "big") for side in each) for each in (size, claimed))
    assert true in buffer.getvalue()
    return buffer.getvalue().replace(true, false)


@pytest.mark.parametrize(
    ("mode", "options"),
    [("RGB", {}), ("L", {}), ("RGBA", {}), ("RGB", {"save_all": True})],
    ids=["still", "grey", "transparent", "animated"],
)
def test_the_size_of_the_frames_decides_and_not_the_claim(monkeypatch, mode, options):
    assert open_image(avif((999, 1001), mode, (999, 1001), **options), LIMITS).size == (999, 1001)

    def decode(image):
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.AvifImagePlugin.AvifImageFile.load", decode)
    with pytest.raises(ImageError, match="the image has more than 1 million pixels"):
        open_image(avif((1002, 1000), mode, (500, 500), **options), LIMITS)


def header(width, height):
    """Return an AV1 bitstream unit that contains the sequence header of a still image."""
    bits = f"00011{0:05b}{15:04b}{15:04b}{width - 1:016b}{height - 1:016b}"
    content = int(bits.ljust(56, "0"), 2).to_bytes(7, "big")
    return b"\x0a\x87\0" + content  # \x87\0 is the size 7 in two bytes, although one would suffice


def iloc(version, method, *extents):
    wide = 4 if version == 2 else 2
    box = b"iloc" + bytes([version, 0, 0, 0, 0x44, 0x40]) + (1).to_bytes(wide, "big")
    box += bytes(wide) + (bytes([0, method]) if version else b"") + bytes(2) + bytes(4)
    numbers = (number.to_bytes(4, "big") for extent in extents for number in extent)
    return box + len(extents).to_bytes(2, "big") + b"".join(numbers)


@pytest.mark.parametrize(
    "data",
    [
        b"\x12\0" + header(300, 200) + iloc(0, 0, (0, 12)),
        header(30, 20) + b"\x7e\0\1x" + header(300, 200) + iloc(1, 0, (0, 24)),
        header(300, 200)[:4] + b"." + header(300, 200)[4:] + iloc(2, 0, (0, 4), (5, 6)),
        b"idat" + header(300, 200) + iloc(1, 1, (0, 10)),
        header(300, 200) + b"co64" + bytes(16),
    ],
    ids=["marker", "second header", "two extents", "idat", "track"],
)
def test_a_header_is_found_wherever_it_is(data):
    assert coded_pixels(data) == 60_000


@pytest.mark.parametrize("data", [b"", b"iloc\0\0\0\0\x44", b"\x0a\1\0" + iloc(0, 0, (0, 3))])
def test_a_file_without_a_whole_header_is_refused(data):
    with pytest.raises(ValueError, match=r"empty|cut short|invalid literal"):
        coded_pixels(data)
