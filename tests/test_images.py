"""These tests open images of every mode and orientation, and images that must be refused."""

import io
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image

from mobilenetv3_cifar import images
from mobilenetv3_cifar.errors import ImageError
from mobilenetv3_cifar.images import open_image

RED, WHITE = (255, 0, 0), (255, 255, 255)


def encode(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format=format, **options)
    return buffer.getvalue()


def first_pixel(source):
    return open_image(source).getpixel((0, 0))


def grey(value, dtype):
    return Image.fromarray(np.full((4, 4), value, dtype))


def small_image(height=6, width=4):
    """Return an image in which every pixel has a different colour."""
    values = np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)
    return Image.fromarray(values)


def png_header(width, height, data=b""):
    """Return a PNG whose header states `width` x `height` pixels, whatever `data` contains."""

    def chunk(name, body):
        check = zlib.crc32(name + body).to_bytes(4, "big")
        return len(body).to_bytes(4, "big") + name + body + check

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def test_every_kind_of_source_gives_the_same_pixels(tmp_path):
    expected = np.asarray(small_image())
    path = tmp_path / "small.png"
    path.write_bytes(encode(small_image()))
    with path.open("rb") as file:
        sources = [path, str(path), path.read_bytes(), file, small_image(), expected]
        for source in sources:
            opened = open_image(source)
            assert opened.mode == "RGB"
            np.testing.assert_array_equal(np.asarray(opened), expected)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM"])
def test_every_allowed_format_is_read(format):
    opened = open_image(encode(Image.new("RGB", (20, 10), RED), format))
    assert opened.size == (20, 10)
    np.testing.assert_allclose(opened.getpixel((5, 5)), RED, atol=3)


@pytest.mark.parametrize("format", ["ICO", "TGA", "EPS", "PDF", "JPEG2000"])
def test_other_formats_are_refused_with_the_list_of_allowed_formats(format):
    with pytest.raises(ImageError, match="not an image in one of these formats: PNG, JPEG"):
        open_image(encode(Image.new("RGB", (32, 32)), format))


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (grey(30_000, np.uint16), 117),
        (grey(65_535, np.uint16), 255),
        (grey(30_000, np.int32), 117),
        (grey(200, np.int32), 200),
        (grey(-5, np.int32), 0),
        (grey(1_000_000, np.int32), 255),
        (grey(0.5, np.float32), 128),
        (grey(200.0, np.float32), 200),
        (grey(np.nan, np.float32), 0),
        (Image.new("1", (4, 4), 1), 255),
        (Image.new("L", (4, 4), 77), 77),
        (Image.new("LA", (4, 4), (0, 51)), 204),
        (Image.new("LA", (4, 4), (0, 0)), 255),
        (Image.new("La", (4, 4), (0, 51)), 204),
    ],
)
def test_grey_modes_become_equal_red_green_and_blue(image, expected):
    assert first_pixel(image) == (expected,) * 3


def test_a_16_bit_png_keeps_its_upper_byte():
    values = np.arange(0, 65_536, 64, dtype=np.uint16).reshape(32, 32)
    opened = open_image(encode(Image.fromarray(values)))
    np.testing.assert_array_equal(np.asarray(opened)[:, :, 0], values >> 8)


def test_transparent_pixels_become_white_and_not_the_colour_underneath():
    assert first_pixel(Image.new("RGBA", (4, 4), (*RED, 0))) == WHITE
    assert first_pixel(Image.new("RGBA", (4, 4), (*RED, 255))) == RED
    assert first_pixel(Image.new("RGBA", (4, 4), (0, 0, 0, 51))) == (204, 204, 204)


def test_the_transparent_colour_of_a_palette_becomes_white():
    palette = Image.new("RGB", (4, 4), RED).convert("P")
    assert first_pixel(encode(palette)) == RED
    index = palette.getpixel((0, 0))
    assert first_pixel(encode(palette, transparency=index)) == WHITE
    assert first_pixel(encode(palette, "GIF", transparency=index)) == WHITE


def test_cmyk_is_read_as_printed():
    cyan = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    np.testing.assert_allclose(first_pixel(encode(cyan, "JPEG")), (0, 255, 255), atol=3)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_gives_its_first_frame(format):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    opened = open_image(encode(frames[0], format, save_all=True, append_images=frames[1:]))
    np.testing.assert_allclose(opened.getpixel((0, 0)), RED, atol=3)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", [1, *images.UPRIGHT])
def test_an_image_is_turned_upright_as_its_orientation_tag_says(format, orientation):
    back = dict.fromkeys(images.UPRIGHT)
    back |= {turn: turn for turn in images.UPRIGHT} | {6: 8, 8: 6}
    turned = small_image()
    if orientation != 1:
        turned = turned.transpose(images.UPRIGHT[back[orientation]])
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    opened = open_image(encode(turned, format, exif=exif))
    np.testing.assert_array_equal(np.asarray(opened), np.asarray(small_image()))
    np.testing.assert_array_equal(np.asarray(open_image(opened)), np.asarray(small_image()))


def test_the_source_is_left_as_it_was():
    source = small_image()
    open_image(source).putpixel((0, 0), WHITE)
    assert source == small_image()


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", "is empty"),
        (b"hello", "is not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is not an image"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is not an image"),
        (bytes(20_000_001), "is larger than 20 MB"),
        (encode(small_image())[:-30], "is damaged or cut short"),
        (encode(Image.new("RGB", (64, 64)), "JPEG")[:-30], "is damaged or cut short"),
        (encode(small_image(), "GIF")[:-10], "is damaged or cut short"),
        (png_header(32, 32, bytes(100)), "is damaged or cut short"),
        (png_header(5001, 5000), "has more than 25 million pixels"),
        (png_header(13_000, 13_000), "has more than 25 million pixels"),
        (png_header(2**31 - 1, 2**31 - 1), "has more than 25 million pixels"),
        (png_header(65_500, 1), "is too narrow: one side is more than 50 times as long"),
        (png_header(0, 5), "is damaged|is not an image|no pixels"),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_what_cannot_be_opened_is_refused_with_its_cause(data, cause):
    with pytest.raises(ImageError, match=f"^the image .*({cause})") as error:
        open_image(data)
    assert "\n" not in str(error.value)


def test_a_huge_image_is_refused_before_a_pixel_is_decoded(monkeypatch):
    bomb = encode(Image.new("L", (5001, 5000)))

    def decode(image):
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decode)
    with pytest.raises(ImageError, match="more than 25 million pixels"):
        open_image(bomb)


def test_a_refusal_names_the_file_without_its_folder(tmp_path):
    broken = tmp_path / "notes.txt"
    broken.write_text("not an image")
    causes = {broken: "is not an image", tmp_path / "gone.png": "does not exist"}
    for path, cause in {**causes, tmp_path: "is not a file"}.items():
        with pytest.raises(ImageError, match=f"^'{path.name}' {cause}") as error:
            open_image(path)
        assert str(tmp_path) not in str(error.value)


def test_an_error_that_is_not_about_the_image_passes_through(monkeypatch):
    class TimeUpError(Exception):
        """A stand-in for an error that a signal handler raises while an image is decoded."""

    def decode(image):
        raise TimeUpError

    monkeypatch.setattr(images, "decode", decode)
    with pytest.raises(TimeUpError):
        open_image(small_image())


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_the_upload_limits_do_not_bind_a_callers_own_images(monkeypatch):
    own = [
        encode(Image.new("L", (5001, 5000))),
        encode(Image.new("L", (600, 10))),
        np.zeros((5001, 5000), np.uint8),
        Image.new("L", (1, 600)),
    ]
    for source in own:
        with pytest.raises(ImageError):
            open_image(source)
        assert open_image(source, limits=None).mode == "RGB"
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    with pytest.raises(ImageError, match=r"more pixels than PIL\.Image\.MAX_IMAGE_PIXELS allows"):
        open_image(encode(Image.new("L", (20, 20))), limits=None)


@pytest.mark.filterwarnings("ignore")
def test_hundreds_of_damaged_files_give_an_image_or_an_image_error():
    chance = np.random.default_rng(0)
    noise = Image.fromarray(chance.integers(0, 256, (40, 37, 3), dtype=np.uint8))
    seeds = [encode(noise, format) for format in images.FORMATS if format != "TIFF"]
    outcomes = {"opened": 0, "refused": 0}
    for seed in seeds * 100:
        data = np.frombuffer(seed, np.uint8).copy()
        # Change four bytes. In about half of the files, change only bytes among the first 80.
        reach = len(data) if chance.random() < 0.5 else 80
        data[chance.integers(0, reach, 4)] = chance.integers(0, 256, 4)
        try:
            open_image(data[: chance.integers(len(data) // 2, 2 * len(data))].tobytes())
            outcomes["opened"] += 1
        except ImageError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 30, outcomes
