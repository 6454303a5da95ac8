"""Class activation maps: where in the picture a network found its evidence for a class.

The maps are pytorch_grad_cam's (https://github.com/jacobgil/pytorch-grad-cam), which is imported on
use, since that takes seconds. Each map is made on a private copy of the network.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from mobilenetv3_cifar.images import open_image
from mobilenetv3_cifar.prediction import (
    Picture,
    evaluation_copy,
    logit_batches,
    ranked,
    to_probabilities,
)
from mobilenetv3_cifar.preprocessing import Box, regions, to_input, to_square

if TYPE_CHECKING:
    from mobilenetv3_cifar.model import MobileNetV3Cifar

Method = Literal["gradcam", "gradcam++", "layercam", "hirescam", "eigencam"]


@dataclass(frozen=True)
class Explanation:
    """A map over one picture for one class.

    `heatmap` is float32 (H, W), of the picture's own size, 0 to 1; `blank` says that it is 0
    everywhere: no place spoke for the class. `probability` is the class's, in [0, 1];
    `probabilities` is what `predict` gives: {label: probability} of all classes, highest first.

    Of a picture larger than 32x32, that is the answer of three regions together. The map is of the
    one in which the network is surest of the class, `box`, and 0 outside.
    """

    heatmap: np.ndarray
    label: str
    probability: float
    blank: bool
    probabilities: dict[str, float] = field(default_factory=dict)
    box: Box = (0, 0, 0, 0)  # pixels: left, top, and right and bottom just outside


@torch.inference_mode(False)  # maps need gradients, wherever the caller is
def explain(
    model: "MobileNetV3Cifar",
    image: Picture,
    method: Method = "gradcam",
    target: str | int | None = None,
    layer: str | None = None,
) -> Explanation:
    """Where `model` looks in `image` for the class `target`: by default the one it predicts.

    Args:
        method: "gradcam" (Selvaraju et al. 2017), "gradcam++" (Chattopadhay et al. 2018),
            "layercam" (Jiang et al. 2021), "hirescam" (Draelos and Carin 2020) or "eigencam"
            (Muhammad and Yeasin 2020; it shows the strongest pattern, whatever the class).
        target: a label, or its index.
        layer: one of `layers(model)`; by default the last, which has the most meaning.

    Raises:
        ImageError: the picture cannot be opened.
        ValueError: there is no such method, target or layer; the message lists those there are.
    """
    picture = open_image(image)
    wanted = None if target is None else class_index(target, model.config.labels)
    network = evaluation_copy(model).float()
    names = layers(network)
    if layer is not None and layer not in names:
        raise ValueError(f"layer must be one of {', '.join(names)}, not {layer!r}")
    module = network.get_submodule(layer or names[-1])
    labels, boxes = network.config.labels, regions(picture.size)
    squares = [to_square(picture.crop(box), network.config.image_size) for box in boxes]
    logits = next(logit_batches(network, squares, len(squares)))  # (regions, classes)
    probabilities = to_probabilities(network, logits.mean(0))
    index = int(probabilities.argmax()) if wanted is None else wanted
    surest = int(to_probabilities(network, logits)[:, index].argmax())
    inputs = to_input([squares[surest]], network.config.mean, network.config.std)
    small = class_activation_map(network, module, inputs, method, index)
    peak = float(small.max())
    return Explanation(
        heatmap=spread(small / peak if peak > 0 else small, boxes[surest], picture.size),
        label=labels[index],
        probability=float(probabilities[index]),
        blank=peak == 0,
        probabilities=ranked(probabilities.tolist(), labels, top_k=None),
        box=boxes[surest],
    )


def spread(small: np.ndarray, box: Box, size: tuple[int, int]) -> np.ndarray:
    """A map (h, w) laid over a box of a picture of that width and height: float32 (H, W)."""
    left, top, right, bottom = box
    part = Image.fromarray(small).resize((right - left, bottom - top), Image.Resampling.BILINEAR)
    heatmap = np.zeros(size[::-1], np.float32)
    heatmap[top:bottom, left:right] = np.asarray(part).clip(0, 1)
    return heatmap


def class_activation_map(
    network: "MobileNetV3Cifar", layer: nn.Module, inputs: Tensor, method: Method, index: int
) -> np.ndarray:
    """The map, float32 (H, W), at least 0, of one input (1, 3, H, W) for one class."""
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {', '.join(get_args(Method))}, not {method!r}")
    # Imported on use: it takes seconds, and brings OpenCV, matplotlib and scikit-learn.
    import pytorch_grad_cam as library
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    classes = {
        "gradcam": library.GradCAM,
        "gradcam++": library.GradCAMPlusPlus,
        "layercam": library.LayerCAM,
        "hirescam": library.HiResCAM,
        "eigencam": library.EigenCAM,
    }
    # The graph begins at the layer: nothing before it is needed for the gradients there.
    layer.register_forward_hook(lambda module, args, output: output.detach().requires_grad_())
    targets = [ClassifierOutputTarget(index)]
    with classes[method](model=network, target_layers=[layer]) as cam, torch.enable_grad():
        return cam(input_tensor=inputs, targets=targets)[0]


def layers(model: "MobileNetV3Cifar") -> list[str]:
    """The names of the feature maps worth a look: the last of each resolution, fine to coarse."""
    names, strided = [], [*enumerate(model.features.blocks)][1:]  # type: ignore[arg-type]
    for index, block in strided:
        if block.depthwise.stride != (1, 1):
            names.append(f"features.blocks.{index - 1}")
    # Maps finer than a quarter of the input show edges, and EigenCAM's cost grows with their area.
    return [*names, "features"][-4:]


def class_index(target: str | int, labels: tuple[str, ...]) -> int:
    if isinstance(target, str) and target in labels:
        return labels.index(target)
    if isinstance(target, int) and 0 <= target < len(labels):
        return target
    raise ValueError(f"target must be one of {', '.join(labels)} or its index, not {target!r}")


def overlay(image: Picture, heatmap: np.ndarray, opacity: float = 0.5) -> Image.Image:
    """The picture under its map, in matplotlib's "turbo" colours: blue 0, red 1.

    Args:
        image: the picture that was explained, or another of the heatmap's size.
        heatmap: (H, W) in [0, 1].
        opacity: of the map, in [0, 1].
    """
    import matplotlib  # on use: it takes a while

    colours = matplotlib.colormaps["turbo"](heatmap, bytes=True)[..., :3]
    return Image.blend(open_image(image), Image.fromarray(colours), opacity)
