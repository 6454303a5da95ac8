"""Convert images to the network's input: resize them, scale them to [0, 1] and normalise them.

By default, images are first resized to 32x32 pixels, so that they are as sharp as the training
images. Without this step, the conversion is the same as in listing 11 of the student report that
this project reproduces. An image whose shorter side has at least `PHOTOGRAPH_SIDE` pixels counts as
a photograph, which has several views. Importing this module does not import torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from PIL import Image

from mobilenetv3_cifar.images import ImageInput, open_image

if TYPE_CHECKING:
    from torch import Tensor

LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
NATIVE_SIZE = 32  # height and width of a CIFAR-10 image in pixels
# Means and standard deviations of red, green and blue pixel values in [0, 1]. The networks of the
# student report use ImageNet's numbers. The shipped "cifar32" networks use CIFAR-10's numbers.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CIFAR10_MEAN, CIFAR10_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)

PHOTOGRAPH_SIDE = 128  # the shorter side of a photograph has at least this many pixels
SQUARES = (100, 80, 60)  # sides of a photograph's centred squares, in percent of its shorter side

Resize = Literal["via_32", "direct"]
FORMER_NAMES = {"cifar": "via_32", "report": "direct"}


def to_square(image: Image.Image, size: int, resize: Resize = "via_32") -> Image.Image:
    """Resize an image to `size` x `size` pixels, bilinearly and with antialiasing.

    "via_32" first resizes to 32x32. "direct" resizes only once.
    """
    for side in (NATIVE_SIZE, size) if check_resize(resize) == "via_32" else (size,):
        image = image.resize((side, side), Image.Resampling.BILINEAR)
    return image


def views_of(image: Image.Image) -> list[Image.Image]:
    """Return the parts of an image that are classified: the whole image, then centred squares.

    An image that is not a photograph has one view, the whole image.
    """
    width, height = image.size
    shorter, views = min(width, height), [image]
    if shorter < PHOTOGRAPH_SIDE:
        return views
    for side in (shorter * percent // 100 for percent in SQUARES):
        if (side, side) != image.size:
            left, top = (width - side) // 2, (height - side) // 2
            views.append(image.crop((left, top, left + side, top + side)))
    return views


def check_resize(resize: str) -> Resize:
    if (current := FORMER_NAMES.get(resize, resize)) not in get_args(Resize):
        raise ValueError(f"resize must be 'via_32' or 'direct', not {resize!r}")
    return current  # type: ignore[return-value]


def normalize(pixels: "Tensor", mean: Sequence[float], std: Sequence[float]) -> "Tensor":
    """Normalise pixels (N, 3, H, W) in [0, 1] with each channel's mean and standard deviation."""
    means, deviations = (pixels.new_tensor(each).view(3, 1, 1) for each in (mean, std))
    return (pixels - means) / deviations


def pillow_resize(images: "Tensor", size: int) -> "Tensor":
    """Enlarge uint8 images (N, 3, h, h) to `size` x `size` bilinearly, exactly as Pillow does.

    Pillow rounds after resizing along x, and again after resizing along y. Its weights are
    multiples of 2**-22, so the weighted sums of pixels are exact in float64.
    """
    import torch

    old = images.shape[2]
    if old == size:
        return images
    centres = (np.arange(size)[:, None] + 0.5) * (old / size)
    exact = (1 - np.abs(np.arange(old) + 0.5 - centres)).clip(0)
    exact /= exact.sum(axis=1, keepdims=True)
    weights = torch.tensor(np.floor(exact * 2**22 + 0.5) / 2**22, device=images.device)
    wide = (images.double() @ weights.T + 0.5).floor()
    return (weights @ wide + 0.5).floor()


def to_input(
    squares: Sequence[Image.Image], mean: Sequence[float], std: Sequence[float]
) -> "Tensor":
    """Convert N RGB images of H x W pixels to a normalised float32 tensor (N, 3, H, W)."""
    import torch

    pixels = torch.from_numpy(np.stack([np.asarray(square) for square in squares]))  # (N, H, W, 3)
    return normalize(pixels.permute(0, 3, 1, 2).float() / 255, mean, std)


@dataclass(frozen=True)
class ImageTransform:
    """A callable that converts an image to the network's input.

    It can be passed as `transform` to torchvision's datasets. It accepts every image that
    `MobileNetV3Cifar.predict` accepts, and returns a normalised float32 tensor (3, image_size,
    image_size). Resizing is bilinear and antialiased. If `resize` is "via_32", images are first
    resized to 32x32. If it is "direct", images are resized only once.

    Raises:
        ImageError: the image cannot be opened.
    """

    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: Resize = "via_32"
    interpolation: Literal["bilinear"] = "bilinear"

    def __post_init__(self) -> None:
        object.__setattr__(self, "resize", check_resize(self.resize))

    def __call__(self, image: ImageInput) -> "Tensor":
        square = to_square(open_image(image, limits=None), self.image_size, self.resize)
        return to_input([square], self.mean, self.std)[0]
