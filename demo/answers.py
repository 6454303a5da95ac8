"""What the page asks of the networks: picture and variant -> answer. Knows nothing of gradio."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from demo.sample import example_files, sample
from mobilenetv3_cifar import (
    Explanation,
    MobileNetV3Cifar,
    Prediction,
    explain,
    list_variants,
    overlay,
)
from mobilenetv3_cifar.explanation import Method, layers
from mobilenetv3_cifar.images import open_image
from mobilenetv3_cifar.preprocessing import crops, to_square
from mobilenetv3_cifar.variants import get_variant

LEAST_SHOWN, MOST_SHOWN = 256, 1024  # pixels of a shown map's longer side
PREDICTED = "predicted"  # as a target: the class that the network answers


@dataclass(frozen=True)
class Answer:
    """One network's answer to one picture, and all that is needed to show it in other ways."""

    variant: str
    method: Method
    picture: Image.Image
    seen: Image.Image  # the square that the network got where it looked for the map
    probabilities: dict[str, float]  # of all classes, highest first
    explanation: Explanation
    seconds: float
    unsure: bool  # the picture is unlikely to show any of the classes

    @property
    def label(self) -> str:
        return next(iter(self.probabilities))

    @property
    def looks(self) -> int:
        """How many regions the answer is the mean of."""
        return len(crops(self.picture.size))

    def top(self, count: int) -> dict[str, float]:
        return dict(list(self.probabilities.items())[:count])

    def map_over_picture(self, opacity: float) -> Image.Image:
        """The picture under its map, a small one enlarged so that there is something to see.

        A blank map is no answer: then it is the picture alone.
        """
        size = enlarged(self.picture.size)
        picture = self.picture.resize(size, Image.Resampling.BICUBIC)
        if self.explanation.blank:
            return picture
        heatmap = Image.fromarray(self.explanation.heatmap).resize(size)
        return overlay(picture, np.asarray(heatmap).clip(0, 1), opacity)


def enlarged(size: tuple[int, int]) -> tuple[int, int]:
    factor = max(1, LEAST_SHOWN / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def part_of(picture: Image.Image, share: float, spot: tuple[int, int] | None) -> Image.Image:
    """The picture, or the square part around `spot` whose side is `share` of the shorter side.

    `spot` is in pixels from the upper left, by default the middle; the part stays within.
    """
    if share >= 1:
        return picture
    side = max(1, round(share * min(picture.size)))
    x, y = spot or (picture.width // 2, picture.height // 2)
    left = min(max(x - side // 2, 0), picture.width - side)
    top = min(max(y - side // 2, 0), picture.height - side)
    return picture.crop((left, top, left + side, top + side))


def answer(
    picture: Image.Image,
    variant: str,
    method: Method = "gradcam",
    target: str = PREDICTED,
    layer: str | None = None,
) -> Answer:
    """Classify a picture and explain one class.

    Raises:
        VariantError, ValueError: there is no such variant, method, target or layer.
    """
    model = load(variant)
    started = time.perf_counter()
    picture = picture.copy()
    picture.thumbnail((MOST_SHOWN, MOST_SHOWN))
    chosen = None if target == PREDICTED else target
    explanation = explain(model, picture, method=method, target=chosen, layer=layer)
    seconds = time.perf_counter() - started
    probabilities = explanation.probabilities
    seen = to_square(picture, model.config.image_size)
    unsure = max(probabilities.values()) < (model.config.ood_threshold or 0.0)
    return Answer(variant, method, picture, seen, probabilities, explanation, seconds, unsure)


def compare(picture: Image.Image) -> Iterator[Answer]:
    """Every shipped variant's answer, the best variant's first."""
    for variant in list_variants():
        yield answer(picture, variant.name)


def layer_names(variant: str) -> list[str]:
    """The layers whose maps can be looked at, from the coarsest map, which means most, to finer."""
    return layers(load(variant))[::-1]


def load(name: str) -> MobileNetV3Cifar:
    return load_once(get_variant(name).name)


@cache
def load_once(name: str) -> MobileNetV3Cifar:
    return MobileNetV3Cifar.from_pretrained(name)


@cache
def sample_answers(variant: str) -> list[Prediction]:
    """{label: probability} of the likeliest class of each picture of the sample; takes seconds."""
    return load(variant).predict([entry.picture for entry in sample()], top_k=1)


def warm_up() -> None:
    """Do once, before anyone waits for it, what takes seconds the first time."""
    answer(open_image(example_files()[0]), get_variant().name)
