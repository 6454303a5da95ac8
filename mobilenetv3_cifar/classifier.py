"""The interface of `MobileNetV3Cifar` and `OnnxClassifier`, and the code that they share.

Importing this module does not import torch.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar, overload

import numpy as np
from PIL import Image

from mobilenetv3_cifar import ood
from mobilenetv3_cifar.config import Config
from mobilenetv3_cifar.errors import ImageError
from mobilenetv3_cifar.images import ImageInput, is_batch, open_image
from mobilenetv3_cifar.preprocessing import (
    NATIVE_SIZE,
    ImageTransform,
    Resize,
    to_square,
    views_of,
)

Item = TypeVar("Item")


class Prediction(dict[str, float]):
    """A dict {label: probability}, highest probability first, with an out-of-distribution score.

    Attributes:
        ood_score: the score that `config.ood_score` names (see `ood.score`). The higher it is, the
            more likely the image shows one of the classes.
        probably_none: whether `ood_score` is below `config.ood_threshold`, in which case the image
            probably shows none of the classes. If the threshold is None, this is always False.
    """

    ood_score: float
    probably_none: bool

    def __init__(
        self, probabilities: Mapping[str, float], ood_score: float, probably_none: bool
    ) -> None:
        super().__init__(probabilities)
        self.ood_score, self.probably_none = ood_score, probably_none


class Outputs(NamedTuple):
    """A network's outputs for N images."""

    logits: np.ndarray  # float32 (N, num_classes)
    features: np.ndarray  # float32 (N, F): the feature map (N, F, h, w), averaged over h and w


class Evidence(NamedTuple):
    """The data from which a class activation map of one image is computed."""

    outputs: Outputs  # for this image, averaged over its views, so N = 1
    target: int  # the index of the class
    activations: np.ndarray  # float32 (K, h, w), the outputs of one layer
    gradients: np.ndarray  # float32 (K, h, w), of the target's logit with respect to activations


class Classifier:
    config: Config

    @abstractmethod
    def run(self, squares: list[Image.Image]) -> Outputs:
        """Run the network on RGB images of `square_size` x `square_size` pixels."""

    @abstractmethod
    def evidence(self, squares: list[Image.Image], target: int | None, layer: str) -> Evidence:
        """Return the `Evidence` of `layer` for the class `target` (None: the predicted class).

        `squares` are the views of one image. The activations are those of the first view.
        """

    def views(self, image: Image.Image) -> list[Image.Image]:
        """Return the views that `predict` averages over. The first view is the whole image.

        Extra views of a photograph made large-cifar32 and small-cifar32 more accurate, but did not
        consistently help networks for 224x224 images. Only networks for 32x32 images use them.
        """
        return views_of(image) if self.config.image_size == NATIVE_SIZE else [image]

    def squares(self, image: Image.Image) -> list[Image.Image]:
        """Return the views of an image, resized to `square_size` x `square_size`."""
        return [to_square(view, self.square_size) for view in self.views(image)]

    def run_views(self, images: list[list[Image.Image]]) -> Outputs:
        """Return the network's outputs for N images, averaged over the views of each image."""
        outputs = self.run([square for squares in images for square in squares])
        ends = np.cumsum([len(squares) for squares in images])[:-1]
        parts = (np.split(values, ends) for values in outputs)
        return Outputs(*(np.stack([part.mean(0) for part in each]) for each in parts))

    def layers(self) -> list[str]:
        """Return the names of the layers that `explain` accepts, finest resolution first."""
        return ["features"]

    @property
    def square_size(self) -> int:
        """The height and width in pixels of the images that `run` and `evidence` take."""
        return self.config.image_size

    def transform(self, resize: Resize = "via_32") -> ImageTransform:
        """Return a callable that maps images to tensors (3, S, S), with S = config.image_size."""
        config = self.config
        return ImageTransform(config.image_size, config.mean, config.std, resize)

    @overload
    def predict(  # type: ignore[overload-overlap]  # a str matches both overloads
        self, images: ImageInput, top_k: int | None = 3, batch_size: int = 64
    ) -> Prediction: ...

    @overload
    def predict(
        self, images: Iterable[ImageInput], top_k: int | None = 3, batch_size: int = 64
    ) -> list[Prediction]: ...

    def predict(
        self, images: Any, top_k: int | None = 3, batch_size: int = 64
    ) -> Prediction | list[Prediction]:
        """Return {label: probability}, most probable first. For several images, return a list.

        Every image is first resized to 32x32 pixels, without preserving its aspect ratio. For an
        image of at least 128x128 pixels, a network for 32x32 images resizes several views (the
        whole image and centred squares, see `preprocessing.views_of`) and averages their logits.

        Args:
            images: an image or an iterable of images. An image is a path, bytes, a binary file, a
                PIL image, a uint8 array (H, W, 3) or (H, W), or a uint8 tensor (3, H, W). An array
                (N, H, W, 3) or tensor (N, 3, H, W) is treated as a list.
            top_k: the number of labels to return per image; None returns all labels.
            batch_size: the number of images in one pass through the network. All views of an image
                are in the same pass and count as one image.

        Raises:
            ImageError: an image cannot be opened. For a list, the error's `index` is the position
                of the image, and `predictions` has the predictions for the images before it.
            ImageTypeError: the type, dtype or shape of an image is not supported. The error is also
                a TypeError.
            ValueError: `top_k` or `batch_size` is below 1, a logit is not finite, or the number of
                logits per image differs from the number of classes.
        """
        several = is_batch(images)
        predictions: list[Prediction] = []
        results = self.predict_each(images if several else [images], top_k, batch_size)
        for prediction in raise_errors(results, several, predictions):
            predictions.append(prediction)
        return predictions if several else predictions[0]

    def predict_each(
        self, images: Iterable[ImageInput], top_k: int | None = 3, batch_size: int = 64
    ) -> Iterator[Prediction | ImageError]:
        """For each image, yield its prediction, or an ImageError if the image cannot be opened.

        At most two batches of images are in memory at a time. The arguments are as in `predict`.
        """
        check_counts(top_k, batch_size)
        for group in batches(open_each(images, self.squares), batch_size):
            opened = [squares for squares in group if not isinstance(squares, ImageError)]
            predictions = iter(self.label(self.run_views(opened), top_k) if opened else ())
            for squares in group:
                yield squares if isinstance(squares, ImageError) else next(predictions)

    def label(self, outputs: Outputs, top_k: int | None = None) -> list[Prediction]:
        """Return a prediction for each row of `outputs`, with the `top_k` most probable labels."""
        config, logits = self.config, outputs.logits
        if logits.shape[1] != config.num_classes:
            raise ValueError(
                f"the network gives {logits.shape[1]} logits, but its config has "
                f"{config.num_classes} classes; to change the classes, call reset_classifier"
            )
        if not np.isfinite(logits).all():
            raise ValueError(
                "the logits are not finite: the weights are damaged or the training diverged"
            )
        powers = np.exp((logits - logits.max(1, keepdims=True)) / np.float32(config.temperature))
        probabilities = powers / powers.sum(1, keepdims=True)
        scores = ood.score(np, config, logits, outputs.features)
        predictions = []
        for row, score in zip(probabilities.tolist(), scores.tolist(), strict=True):
            ranked = sorted(zip(config.labels, row, strict=True), key=lambda pair: -pair[1])
            flagged = config.ood_threshold is not None and score < config.ood_threshold
            predictions.append(Prediction(dict(ranked[:top_k]), score, flagged))
        return predictions


def check_counts(top_k: int | None, batch_size: int) -> None:
    for name, count in (("top_k", top_k), ("batch_size", batch_size)):
        if count is not None and count < 1:
            raise ValueError(f"{name} must be at least 1, not {count}")


def open_each(
    images: Iterable[ImageInput], convert: Callable[[Image.Image], Item]
) -> Iterator[Item | ImageError]:
    """Open and convert each image. For an image that cannot be opened, yield an ImageError."""
    for image in images:
        try:
            yield convert(open_image(image, limits=None))
        except ImageError as error:
            yield error


def raise_errors(
    results: Iterable[Item | ImageError], several: bool, predictions: Sequence[Prediction] = ()
) -> Iterator[Item]:
    """Yield the results before the first ImageError, then raise that error.

    If `several` is true, set the error's attributes `index` and `predictions` first.
    """
    for index, result in enumerate(results):
        if isinstance(result, ImageError):
            if several:
                result.args = (f"images[{index}]: {result}",)
                result.index, result.predictions = index, predictions
            raise result
        yield result


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield lists of `size` items. The last list may be shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
