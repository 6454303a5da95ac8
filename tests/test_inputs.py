"""These tests give networks images of every allowed type, alone and in lists, and other objects."""

import http.client
import io
import os
import zipfile
import zlib
from pathlib import PurePath

import numpy as np
import pytest
import torch
from PIL import Image

from mobilenetv3_cifar import MobileNetV3Cifar, explain
from mobilenetv3_cifar.errors import ImageError, ImageTypeError
from mobilenetv3_cifar.images import open_image


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return MobileNetV3Cifar(blocks="cifar32").eval()


@pytest.fixture(scope="module")
def samples(sample):
    return [Image.fromarray(pixels) for pixels in sample[0][:10]]


def encoded(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


class Path_(os.PathLike):  # noqa: N801
    def __init__(self, path):
        self.path = str(path)

    def __fspath__(self):
        return self.path


def test_every_kind_of_input_gives_the_same_answer_alone_and_in_a_list(model, samples, tmp_path):
    image, path = samples[0], tmp_path / "one.png"
    path.write_bytes(encoded(image))
    pixels = np.asarray(image).copy()
    data = encoded(image)
    expected = model.predict(image)
    makers = [
        lambda: data,
        lambda: bytearray(data),
        lambda: memoryview(data),
        lambda: io.BytesIO(data),
        lambda: path.open("rb"),
        lambda: PurePath(path),
        lambda: Path_(path),
        lambda: pixels,
        lambda: pixels[:, ::-1].copy()[:, ::-1],  # not contiguous
        lambda: torch.from_numpy(pixels).permute(2, 0, 1),
    ]
    for make in makers:
        assert model.predict(make()) == expected
        for prediction in model.predict([make(), make()]):
            assert prediction == pytest.approx(expected)
        assert explain(model, make()).probabilities == model.predict(image, top_k=None)


def test_arrays_and_tensors_of_four_axes_are_lists(model, samples):
    expected = model.predict(samples)
    pixels = np.stack([np.asarray(image) for image in samples])
    assert model.predict(pixels) == expected
    assert model.predict(torch.from_numpy(pixels).permute(0, 3, 1, 2)) == expected
    assert model.predict(pixels[..., :1]) == model.predict(list(pixels[..., 0]))
    assert model.predict(pixels[:0]) == []


def test_iterators_are_lists(model, samples):
    assert model.predict(image for image in samples) == model.predict(tuple(samples))


@pytest.mark.parametrize("images", [None, 3, {"a": b""}, {b""}, object()])
def test_what_is_neither_an_image_nor_a_list_is_a_type_error(model, images):
    with pytest.raises(TypeError, match=f"not {type(images).__name__}$"):
        model.predict(images)


@pytest.mark.parametrize("image", [None, [b""], 7])
def test_the_error_for_a_list_says_which_item_is_not_an_image(model, samples, image):
    with pytest.raises(TypeError, match=r"^images\[1\]: an image must be"):
        model.predict([samples[0], image])


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(4, np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((2, 4, 4, 3), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4), bool),
        torch.zeros(4, dtype=torch.uint8),
        torch.zeros(4, 4, 5, dtype=torch.uint8),
        torch.zeros(3, 4, 4),
    ],
)
def test_an_array_or_tensor_of_another_shape_or_type_is_refused(array):
    with pytest.raises(ImageTypeError, match=r"must be uint8 of shape .*, not .* of shape"):
        open_image(array)


@pytest.mark.parametrize(
    "array", [np.zeros((0, 4, 3), np.uint8), torch.zeros(3, 4, 0, dtype=torch.uint8)]
)
def test_an_image_without_pixels_is_refused(array):
    with pytest.raises(ImageError, match="has no pixels"):
        open_image(array)


def test_grey_arrays_and_tensors_are_read_as_they_are():
    values = np.arange(24, dtype=np.uint8).reshape(4, 6)
    expected = np.stack([values] * 3, axis=2)
    tensor = torch.from_numpy(values)
    for source in (values, values[..., None], tensor, tensor[None]):
        np.testing.assert_array_equal(np.asarray(open_image(source)), expected)


def test_a_tensor_has_its_channels_first():
    pixels = np.asarray(Image.fromarray(np.arange(72, dtype=np.uint8).reshape(6, 4, 3)))
    tensor = torch.from_numpy(pixels.copy())
    # The channels may be last if the size of the first axis is neither 1 nor 3.
    for source in (tensor.permute(2, 0, 1), tensor):
        np.testing.assert_array_equal(np.asarray(open_image(source)), pixels)


@pytest.mark.parametrize("source", [None, 3, {"image": b""}, io.StringIO("text"), object()])
def test_what_is_not_an_image_raises_a_type_error_that_is_an_image_error(source):
    for kind in (TypeError, ImageError):
        with pytest.raises(kind):
            open_image(source)
    assert issubclass(ImageTypeError, ImageError)


@pytest.mark.parametrize("source", ["https://example.org/dir/cat.png", "data:image/png;base64,A"])
def test_a_url_is_not_fetched_and_the_message_says_how_to(source):
    with pytest.raises(
        ImageError, match=r"is a URL, which is not fetched: pass urllib\.request\.urlopen"
    ):
        open_image(source)


def test_a_closed_file_is_refused():
    file = io.BytesIO(encoded(Image.new("RGB", (4, 6))))
    file.close()
    with pytest.raises(ImageError, match=r"the image cannot be read: .*closed file"):
        open_image(file)


def test_a_name_that_the_system_refuses_is_an_image_error():
    with pytest.raises(ImageError, match=r"cannot be read|does not exist"):
        open_image("a" * 5000)


@pytest.mark.parametrize(
    "error", [http.client.IncompleteRead(b""), EOFError(), zipfile.BadZipFile(), zlib.error()]
)
def test_a_file_that_is_cut_short_does_not_stop_the_others(model, samples, error):
    class Broken(io.BytesIO):
        def read(self, *size):
            raise error

    first, second, third = model.predict_each([samples[0], Broken(), samples[1]])
    assert isinstance(second, ImageError)
    assert [first, third] == model.predict(samples[:2])


def test_a_file_in_text_mode_is_refused(model, tmp_path, samples):
    samples[0].save(tmp_path / "a.png")
    with (tmp_path / "a.png").open() as file, pytest.raises(ImageTypeError, match="binary mode"):
        model.predict(file)
