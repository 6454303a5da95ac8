"""Compute the predictions and activation maps that the demo shows, without using gradio."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from demo.sample import sample
from demo.serving.decode import reduce
from mobilenetv3_cifar import Explanation, MobileNetV3Cifar, Prediction, explain, list_variants
from mobilenetv3_cifar.classifier import Classifier
from mobilenetv3_cifar.errors import ModelFolderError
from mobilenetv3_cifar.explanation import Method
from mobilenetv3_cifar.preprocessing import NATIVE_SIZE
from mobilenetv3_cifar.variants import get_variant

PREDICTED = "predicted"  # this target stands for the class that the network predicts


@dataclass(frozen=True)
class Answer:
    variant: str
    method: Method
    image: Image.Image
    views: tuple[Image.Image, ...]  # the parts of the image that the network classified
    explanations: tuple[Explanation, ...]
    layers: tuple[str, ...]  # the layer of each explanation
    seconds: float

    @property
    def probabilities(self) -> Prediction:
        return self.explanations[0].probabilities

    @property
    def label(self) -> str:
        return next(iter(self.probabilities))

    @property
    def is_reduced(self) -> bool:
        return max(self.image.size) > NATIVE_SIZE

    def heatmaps(self) -> list[np.ndarray | None]:
        """Return each map (None if blank). If all maps show the same layer, they share a scale."""
        highest = max(each.peak for each in self.explanations)
        one_layer = len(set(self.layers)) == 1
        return [
            None if each.blank else each.heatmap * (each.peak / highest if one_layer else 1)
            for each in self.explanations
        ]

    def top(self, count: int) -> list[tuple[str, float]]:
        return list(self.probabilities.items())[:count]


def answer(
    image: Image.Image,
    variant: str,
    method: Method = "gradcam",
    targets: Sequence[str] = (PREDICTED,),
    layer_names: Sequence[str] = (),
) -> Answer:
    """Classify an image, and compute one activation map for each target class at each layer.

    If `layer_names` is empty, the maps show the last layer. An unknown variant raises a
    VariantError, and an unknown method, target or layer raises a ValueError.
    """
    model = load_torch(variant) if layer_names else load(variant)
    layer_names = layer_names or model.layers()[-1:]
    image = reduce(image)
    started = time.perf_counter()
    explanations = tuple(
        explain(model, image, method, None if target == PREDICTED else target, layer)
        for target in targets
        for layer in layer_names
    )
    seconds = time.perf_counter() - started
    views, layers = tuple(model.views(image)), tuple(layer_names) * len(targets)
    return Answer(variant, method, image, views, explanations, layers, seconds)


def compare(image: Image.Image) -> list[Answer]:
    """Return the answers of all shipped variants, best variant first."""
    return [answer(image, variant.name) for variant in list_variants()]


@cache
def load(name: str) -> Classifier:
    """Load a variant with onnxruntime if possible, since torch is several times slower."""
    try:
        from mobilenetv3_cifar.runtime import OnnxClassifier

        return OnnxClassifier.from_pretrained(get_variant(name).name)
    except (ModuleNotFoundError, ModelFolderError):
        return load_torch(name)


@cache
def load_torch(name: str) -> MobileNetV3Cifar:
    """Load a variant with torch. Unlike onnxruntime, torch can compute maps of any layer."""
    return MobileNetV3Cifar.from_pretrained(get_variant(name).name)


@cache
def sample_answers(variant: str) -> dict[str, tuple[str, float]]:
    """Map the key of each sample image to the predicted label and its probability."""
    predictions = load(variant).predict([entry.image for entry in sample().values()], top_k=1)
    return {key: next(iter(one.items())) for key, one in zip(sample(), predictions, strict=True)}
