"""What the page asks of the networks: image and variant -> answer. Knows nothing of gradio."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from demo.sample import example_files, sample
from mobilenetv3_cifar import Explanation, MobileNetV3Cifar, explain, list_variants
from mobilenetv3_cifar.explanation import Method, layers
from mobilenetv3_cifar.images import open_image
from mobilenetv3_cifar.preprocessing import NATIVE_SIZE, regions, resize
from mobilenetv3_cifar.variants import get_variant

MAX_SIDE = 512  # pixels; a longer image is reduced before it is classified
PREDICTED = "predicted"  # as a target: the class that the network predicts


@dataclass(frozen=True)
class Answer:
    """One network's answer for one image, with one or more activation maps."""

    variant: str
    method: Method
    image: Image.Image
    explanations: tuple[Explanation, ...]
    layers: tuple[str, ...]  # of each map
    probabilities: dict[str, float]  # of all classes, highest first
    ood_score: float
    probably_none: bool  # the image is unlikely to show any of the classes
    seconds: float

    @property
    def label(self) -> str:
        return next(iter(self.probabilities))

    @property
    def is_photograph(self) -> bool:
        return max(self.image.size) > NATIVE_SIZE

    @property
    def crops(self) -> list[Image.Image]:
        """The crops over which the answer is averaged, as sharp as the network gets them."""
        return [resize(self.image.crop(box), NATIVE_SIZE) for box in regions(self.image.size)]

    def heatmaps(self) -> list[np.ndarray | None]:
        """One map per explanation; None where it is blank."""
        return [None if each.blank else each.heatmap for each in self.explanations]

    def top(self, count: int) -> list[tuple[str, float]]:
        return list(self.probabilities.items())[:count]


def answer(
    image: Image.Image,
    variant: str,
    method: Method = "gradcam",
    targets: Sequence[str] = (PREDICTED,),
    layer_names: Sequence[str | None] = (None,),
) -> Answer:
    """Classify an image and explain each of `targets` at each of `layer_names`.

    Raises:
        VariantError, ValueError: the variant, method, a target or a layer is unknown.
    """
    model = load(variant)
    image = reduce(image)
    started = time.perf_counter()
    explanations = tuple(
        explain(
            model, image, method=method, target=None if name == PREDICTED else name, layer=layer
        )
        for name in targets
        for layer in layer_names
    )
    seconds = time.perf_counter() - started
    probabilities = explanations[0].probabilities
    score = max(probabilities.values())
    return Answer(
        variant,
        method,
        image,
        explanations,
        tuple(name or layers(model)[-1] for _ in targets for name in layer_names),
        probabilities,
        ood_score=score,
        probably_none=score < (model.config.ood_threshold or 0.0),
        seconds=seconds,
    )


def reduce(image: Image.Image) -> Image.Image:
    """At most MAX_SIDE pixels a side; rounded up, so that the image is not narrower than before."""
    factor = MAX_SIDE / max(image.size)
    if factor >= 1:
        return image
    return image.resize((math.ceil(image.width * factor), math.ceil(image.height * factor)))


def likeliest(image: Image.Image, variant: str, count: int) -> list[str]:
    """The labels with the highest probabilities."""
    answers = load(variant).predict([reduce(image)], top_k=count)
    assert isinstance(answers, list)
    return list(answers[0])


def compare(image: Image.Image) -> Iterator[Answer]:
    """The answer of every shipped variant, the best variant first."""
    for variant in list_variants():
        yield answer(image, variant.name)


def layer_names(variant: str) -> list[str]:
    """The layers whose maps can be shown, from the finest map to the last one."""
    return layers(load(variant))


def load(name: str) -> MobileNetV3Cifar:
    return load_once(get_variant(name).name)


@cache
def load_once(name: str) -> MobileNetV3Cifar:
    return MobileNetV3Cifar.from_pretrained(name)


@cache
def sample_answers(variant: str) -> list[dict[str, float]]:
    """{label: probability} of the prediction for each image of the sample; takes seconds."""
    return load(variant).predict([entry.image for entry in sample()], top_k=1)


def warm_up() -> None:
    """Do what takes seconds the first time before a visitor waits for it."""
    answer(open_image(example_files()[0]), get_variant().name)
