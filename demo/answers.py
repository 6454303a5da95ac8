"""What the page asks of the networks: image and variant -> answer. Knows nothing of gradio."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from demo.sample import example_files, sample
from demo.serving.decode import reduce
from mobilenetv3_cifar import (
    Explanation,
    MobileNetV3Cifar,
    Prediction,
    explain,
    list_variants,
)
from mobilenetv3_cifar.classifier import Classifier
from mobilenetv3_cifar.errors import ModelFolderError
from mobilenetv3_cifar.explanation import Method
from mobilenetv3_cifar.images import open_image
from mobilenetv3_cifar.preprocessing import NATIVE_SIZE, crops, to_square
from mobilenetv3_cifar.variants import get_variant

PREDICTED = "predicted"  # as a target: the class that the network predicts


@dataclass(frozen=True)
class Answer:
    """One network's answer for one image, with one or more activation maps."""

    variant: str
    method: Method
    image: Image.Image
    explanations: tuple[Explanation, ...]
    layers: tuple[str, ...]  # of each map
    seconds: float

    @property
    def probabilities(self) -> Prediction:
        """Those of all classes, highest first."""
        return self.explanations[0].probabilities

    @property
    def label(self) -> str:
        return next(iter(self.probabilities))

    @property
    def is_photograph(self) -> bool:
        return max(self.image.size) > NATIVE_SIZE

    @property
    def inputs(self) -> list[Image.Image]:
        """The crops over which the answer is averaged, as sharp as the network gets them."""
        return [to_square(self.image.crop(box), NATIVE_SIZE) for box in crops(self.image.size)]

    def heatmaps(self) -> list[np.ndarray | None]:
        """One map per explanation, None where it is blank; maps of one layer share one scale."""
        peaks = dict.fromkeys(self.layers, 0.0)
        for layer, each in zip(self.layers, self.explanations, strict=True):
            peaks[layer] = max(peaks[layer], each.peak)
        return [
            None if each.blank else each.heatmap * (each.peak / peaks[layer])
            for layer, each in zip(self.layers, self.explanations, strict=True)
        ]

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
    model = load(variant) if set(layer_names) == {None} else load_torch(variant)
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
    layers = tuple(name or model.layers()[-1] for _ in targets for name in layer_names)
    return Answer(variant, method, image, explanations, layers, seconds)


def likeliest(image: Image.Image, variant: str, count: int) -> list[str]:
    """The labels with the highest probabilities."""
    return list(load(variant).predict(reduce(image), top_k=count))


def compare(image: Image.Image) -> Iterator[Answer]:
    """The answer of every shipped variant, the best variant first."""
    for variant in list_variants():
        yield answer(image, variant.name)


def layer_names(variant: str) -> list[str]:
    """The layers whose maps can be shown, from the finest map to the last one."""
    return load_torch(variant).layers()


def load(name: str) -> Classifier:
    """A network for answers and maps of its last layer."""
    return load_once(get_variant(name).name)


@cache
def load_once(name: str) -> Classifier:
    """By onnxruntime where the variant has a file for it: that is several times faster."""
    try:
        from mobilenetv3_cifar.runtime import OnnxClassifier

        return OnnxClassifier.from_pretrained(name)
    except (ModuleNotFoundError, ModelFolderError):
        return load_torch(name)


@cache
def load_torch(name: str) -> MobileNetV3Cifar:
    """A network that has maps of every layer."""
    return MobileNetV3Cifar.from_pretrained(get_variant(name).name)


@cache
def sample_answers(variant: str) -> list[Prediction]:
    """The prediction for each image of the sample; takes seconds."""
    return load(variant).predict([entry.image for entry in sample()], top_k=1)


def warm_up() -> None:
    """Do what takes seconds the first time before a visitor waits for it."""
    answer(open_image(example_files()[0]), get_variant().name)
