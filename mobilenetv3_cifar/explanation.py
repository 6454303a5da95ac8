"""Class activation maps, which show where in an image a network finds evidence for a class."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from mobilenetv3_cifar.classifier import Classifier, Prediction
from mobilenetv3_cifar.images import ImageInput, open_image

Method = Literal["gradcam", "gradcam++", "layercam", "hirescam", "eigencam"]


@dataclass(frozen=True)
class Explanation:
    """The class activation map of one image for one class."""

    heatmap: np.ndarray  # float32 (H, W) at the image's own size, scaled to values from 0 to 1
    label: str  # the explained class
    probability: float  # of that class
    blank: bool  # whether the map is 0 everywhere
    probabilities: Prediction  # of all classes
    peak: float = 0.0  # the largest value before scaling; to compare classes, use `peak * heatmap`


def explain(
    model: Classifier,
    image: ImageInput,
    method: Method = "gradcam",
    target: str | int | None = None,
    layer: str | None = None,
) -> Explanation:
    """Compute where in `image` the network `model` finds evidence for the class `target`.

    Args:
        method: a key of `METHODS`.
        target: a label or its index; by default, the predicted class.
        layer: one of `model.layers()`; by default the last, whose map depends most on the class.

    Raises:
        ImageError: the image cannot be opened.
        ValueError: the method, target or layer is unknown; the message lists the valid values.
    """
    rgb = open_image(image, limits=None)
    names, labels = model.layers(), model.config.labels
    layer = layer or names[-1]
    for what, value, choices in (("method", method, METHODS), ("layer", layer, names)):
        if value not in choices:
            raise ValueError(f"{what} must be one of {', '.join(choices)}, not {value!r}")
    wanted = None if target is None else class_index(target, labels)
    evidence = model.evidence(model.squares(rgb), wanted, layer)
    (probabilities,) = model.label(evidence.outputs)
    values = METHODS[method].compute(evidence.activations, evidence.gradients).clip(min=0)
    small = Image.fromarray(values.astype(np.float32))
    heatmap = np.array(small.resize(rgb.size, Image.Resampling.BILINEAR))
    peak = float(heatmap.max())
    return Explanation(
        heatmap=heatmap / np.float32(peak) if peak > 0 else heatmap,
        label=labels[evidence.target],
        probability=probabilities[labels[evidence.target]],
        blank=peak == 0,
        probabilities=probabilities,
        peak=peak,
    )


def class_index(target: str | int, labels: tuple[str, ...]) -> int:
    if isinstance(target, str) and target in labels:
        return labels.index(target)
    if isinstance(target, int | np.integer) and 0 <= target < len(labels):
        return int(target)
    raise ValueError(f"target must be one of {', '.join(labels)} or its index, not {target!r}")


# Each method takes the activations (K, h, w) of a layer, and the gradients (K, h, w) of a class's
# logit with respect to these activations. It returns a map (h, w), whose negative values `explain`
# then sets to 0.


def grad_cam(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Sum the channels of the activations, each weighted by the mean of its gradients."""
    return np.einsum("khw,k->hw", activations, gradients.mean(axis=(1, 2)))


def grad_cam_plus_plus(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Sum the channels of the activations, each weighted by the sum of its positive gradients.

    Each gradient is first scaled according to equation 19 of the Grad-CAM++ paper.
    """
    sums = activations.sum(axis=(1, 2), keepdims=True)
    denominator = 2 * gradients**2 + sums * gradients**3 + 1e-6
    alphas = np.where(gradients != 0, gradients**2 / denominator, 0)
    weights = (gradients.clip(min=0) * alphas).sum(axis=(1, 2))
    return np.einsum("khw,k->hw", activations, weights)


def layer_cam(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Sum `activation * gradient` over the channels, with negative gradients set to 0."""
    return (gradients.clip(min=0) * activations).sum(axis=0)


def hires_cam(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Sum `activation * gradient` over the channels."""
    return (gradients * activations).sum(axis=0)


def eigen_cam(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Project the activations onto their first principal component, ignoring the gradients.

    The sign of a component is arbitrary, so it is chosen to make the map correlate positively with
    the sum of the channels.
    """
    channels, height, width = activations.shape
    positions = activations.reshape(channels, -1).T
    centred = positions - positions.mean(axis=0)
    component = np.linalg.svd(centred, full_matrices=False)[2][0]  # (K,)
    projected = centred @ component
    if projected @ positions.sum(axis=1) < 0:
        projected = -projected
    return projected.reshape(height, width)


class CamMethod(NamedTuple):
    title: str
    compute: Callable[[np.ndarray, np.ndarray], np.ndarray]
    paper: str
    uses_class: bool = True  # whether the map depends on the class


METHODS: dict[Method, CamMethod] = {
    "gradcam": CamMethod("Grad-CAM", grad_cam, "Selvaraju et al., ICCV 2017"),
    "gradcam++": CamMethod("Grad-CAM++", grad_cam_plus_plus, "Chattopadhay et al., WACV 2018"),
    "layercam": CamMethod("LayerCAM", layer_cam, "Jiang et al., IEEE TIP 2021"),
    "hirescam": CamMethod("HiResCAM", hires_cam, "Draelos and Carin, arXiv 2020"),
    "eigencam": CamMethod("EigenCAM", eigen_cam, "Muhammad and Yeasin, IJCNN 2020", False),
}


# Colours of matplotlib's colour map "inferno" at equal steps from 0 to 1. Their lightness rises
# evenly, so the peak is the brightest point, even in greyscale and for colour-blind readers.
INFERNO = "000004 160b39 420a68 6a176e 932667 bc3754 dd513a f37819 fca50a f6d746 fcffa4"
COLOURS = np.array([[*bytes.fromhex(colour)] for colour in INFERNO.split()])  # (11, 3)


def colour(heatmap: np.ndarray) -> np.ndarray:
    """Convert a map (H, W) in [0, 1] to RGB, uint8 (H, W, 3)."""
    steps = np.linspace(0, 1, len(COLOURS))
    table = [np.interp(np.linspace(0, 1, 256), steps, channel) for channel in COLOURS.T]
    levels = (heatmap.clip(0, 1) * 255).round().astype(np.uint8)
    return np.stack(table, axis=1).round().astype(np.uint8)[levels]


def overlay(image: ImageInput, heatmap: np.ndarray, opacity: float = 0.5) -> Image.Image:
    """Colour a heatmap (H, W) in [0, 1], and blend it with an image of H x W pixels.

    `opacity` is the opacity of the heatmap, in [0, 1].
    """
    return Image.blend(open_image(image, limits=None), Image.fromarray(colour(heatmap)), opacity)
