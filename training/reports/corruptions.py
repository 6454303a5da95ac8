"""Test accuracy on images that our own code corrupts with a fixed seed. They are not CIFAR-10-C."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from mobilenetv3_cifar import MobileNetV3Cifar
from training.dataset.cifar10 import Split
from training.loop.validation import correct_and_loss, split_logits


def gaussian_noise(image: Image.Image, level: float, random: np.random.Generator) -> Image.Image:
    noisy = np.asarray(image) + 255 * level * random.standard_normal((image.height, image.width, 3))
    return Image.fromarray(noisy.round().clip(0, 255).astype(np.uint8))


def gaussian_blur(image: Image.Image, level: float, random: np.random.Generator) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(level))


def low_contrast(image: Image.Image, level: float, random: np.random.Generator) -> Image.Image:
    pixels = np.asarray(image).astype(float)
    mean = pixels.mean(axis=(0, 1))
    return Image.fromarray((mean + level * (pixels - mean)).round().astype(np.uint8))


def jpeg(image: Image.Image, level: float, random: np.random.Generator) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(level))
    return Image.open(buffer).convert("RGB")


Corruption = Callable[[Image.Image, float, np.random.Generator], Image.Image]
CORRUPTIONS: dict[Corruption, tuple[float, ...]] = {  # `level` at severity 1, 2 and 3
    gaussian_noise: (0.04, 0.08, 0.12),  # standard deviation for pixel values in [0, 1]
    gaussian_blur: (0.5, 0.8, 1.2),  # standard deviation in pixels
    low_contrast: (0.6, 0.4, 0.2),  # multiplies the difference from the mean colour
    jpeg: (60, 30, 15),  # Pillow's quality
}


def corrupt(images: np.ndarray, corruption: Corruption, level: float) -> np.ndarray:
    """Corrupt all uint8 images (N, 32, 32, 3), with a fixed seed for the random numbers."""
    random = np.random.default_rng(0)
    corrupted = (corruption(Image.fromarray(image), level, random) for image in images)
    return np.stack([np.asarray(image) for image in corrupted])


def corrupted_accuracies(model: MobileNetV3Cifar, test: Split) -> dict[str, list[float]]:
    """Map the name of each corruption to the accuracies (0 to 1) at severity 1, 2 and 3."""
    accuracies: dict[str, list[float]] = {}
    for corruption, levels in CORRUPTIONS.items():
        name = corruption.__name__
        for level in levels:
            corrupted = Split(corrupt(test.images, corruption, level), test.labels)
            correct, _ = correct_and_loss(split_logits(model, corrupted, name), test.labels)
            accuracies.setdefault(name, []).append(correct / len(test))
    return accuracies
