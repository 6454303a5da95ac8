"""The network class `MobileNetV3Cifar`.

Predictions and explanations do not depend on torch's settings (autocast, gradient modes, default
dtype and device) or on the network's training mode. Computing them does not change the network, so
several threads can share one network.
"""

import copy
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from mobilenetv3_cifar.architecture import LAYOUTS, STYLES, build_features, build_head
from mobilenetv3_cifar.classifier import (
    Classifier,
    Evidence,
    Outputs,
    batches,
    check_counts,
    open_each,
    raise_errors,
)
from mobilenetv3_cifar.config import Blocks, Config, OodScore, Size, numbered_labels, plain
from mobilenetv3_cifar.images import ImageInput, is_batch
from mobilenetv3_cifar.layers import last_of_each_resolution, split_at
from mobilenetv3_cifar.preprocessing import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    LABELS,
    Resize,
    to_input,
    to_square,
)
from mobilenetv3_cifar.pretrained import Pretrained


class MobileNetV3Cifar(Pretrained, Classifier):
    """A MobileNetV3 that maps normalised float32 images (N, 3, H, W) to logits (N, num_classes).

    Args:
        size: "small" or "large", the two sizes of the MobileNetV3 paper (Howard et al. 2019).
        blocks: the design of the blocks. "paper" follows the paper. "report" follows the student
            report that this project reproduces. "cifar32" adapts "paper" to 32x32 images and has a
            head that consists of one linear layer.
        dropout: probability, in [0, 1), of dropping an input of the head's last layer.
        num_classes: number of classes.
        labels: one name per class. The default is CIFAR-10's labels if `num_classes` is 10, else
            "class 0", "class 1" and so on.
        image_size: height and width in pixels of the network's input; by default, 32 for "cifar32"
            blocks, else 224.
        mean: the mean red, green and blue values, from 0 to 1, subtracted from an image's channels.
        std: the standard deviations, by which the channels are then divided.
        temperature: the number by which `predict` divides the logits before the softmax.
        ood_score: the score that is compared with `ood_threshold`: "confidence" (the highest
            probability), "energy" or "linear" (see `ood.score`).
        ood_weights: for the score "linear", one weight per feature.
        ood_threshold: an image whose score is below this threshold is flagged as probably showing
            none of the classes. If None, no image is flagged.

    Raises:
        ValueError: an argument is not valid; the message names the argument.
    """

    def __init__(
        self,
        *,
        size: Size = "small",
        blocks: Blocks = "report",
        dropout: float = 0.0,
        num_classes: int = 10,
        labels: Sequence[str] | None = None,
        image_size: int | None = None,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        temperature: float = 1.0,
        ood_score: OodScore = "confidence",
        ood_weights: Sequence[float] = (),
        ood_threshold: float | None = None,
    ) -> None:
        super().__init__()
        if labels is None:
            labels = LABELS if num_classes == len(LABELS) else numbered_labels(num_classes)
        if image_size is None:
            image_size = 32 if blocks == "cifar32" else 224
        self.config = Config(
            size=size,
            blocks=blocks,
            dropout=dropout,
            num_classes=num_classes,
            labels=plain(labels),
            image_size=image_size,
            mean=plain(mean),
            std=plain(std),
            temperature=temperature,
            ood_score=ood_score,
            ood_weights=plain(ood_weights),
            ood_threshold=ood_threshold,
        )
        layout = LAYOUTS[size, blocks]
        self.num_features = layout.last  # channels of the last feature map
        if self.config.ood_weights and len(self.config.ood_weights) != layout.last:
            raise ValueError(f"ood_weights must have {layout.last} entries, one per feature")
        self.features = build_features(layout, STYLES[blocks])
        self.head = build_head(layout, self.config.dropout, self.config.num_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last feature map (N, num_features, h, w) of normalised images (N, 3, H, W)."""
        return self.features(x)

    def forward_head(self, features: Tensor) -> Tensor:
        """Return the logits (N, num_classes) for a feature map (N, num_features, h, w)."""
        pooled = features.mean(dim=(2, 3), keepdim=True)  # (N, num_features, 1, 1)
        return self.head(pooled).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))

    def preprocess(
        self, image: ImageInput, resize: Resize = "via_32", *, view: Resize | None = None
    ) -> Tensor:
        """Convert an image to a float32 input (1, 3, S, S), with S = config.image_size.

        Args:
            resize: "via_32" first resizes the image to 32x32, so that it is as sharp as the
                training images. "direct" resizes the image to S x S in one step.
            view: deprecated name for `resize`; "cifar" means "via_32", and "report" means "direct".

        Raises:
            ImageError: the image cannot be opened.
        """
        return self.transform(view or resize)(image)[None]

    def run(self, squares: list[Image.Image]) -> Outputs:
        network = in_evaluation_mode(self)
        inputs = to_batch(network, squares)
        try:
            with torch.inference_mode(), torch.autocast(inputs.device.type, enabled=False):
                features = network.forward_features(inputs)
                return to_outputs(network.forward_head(features), features)
        except RuntimeError:
            self.check_layers()  # if a layer was replaced, raises an error that names it
            raise

    def evidence(self, squares: list[Image.Image], target: int | None, layer: str) -> Evidence:
        network = in_evaluation_mode(self, differentiable=True)
        before, after = split_at(network.features, layer)
        inputs = to_batch(network, squares)
        with torch.inference_mode(False), torch.autocast(inputs.device.type, enabled=False):
            with torch.no_grad():
                activations = before(inputs.clone())
            with torch.enable_grad():  # autograd's graph begins at the layer
                features = after(activations.requires_grad_())
                logits = network.forward_head(features)
                if target is None:
                    target = int(logits.mean(0).argmax())
                # Unlike backward(), autograd.grad does not change the .grad of the parameters.
                (gradients,) = torch.autograd.grad(logits[0, target], activations)
        maps = (values[0].detach().float().cpu().numpy() for values in (activations, gradients))
        outputs = (values.mean(0, keepdim=True) for values in (logits, features))
        return Evidence(to_outputs(*outputs), target, *maps)

    def layers(self) -> list[str]:
        # Earlier layers are left out: their maps show edges, and EigenCAM is slow for them.
        return [*last_of_each_resolution(self.features), "features"][-4:]

    def extract_features(self, images: Any, batch_size: int = 64) -> Tensor:
        """Return the pooled features before the head: (F,) for one image, (N, F) for N images.

        F is `num_features`, and the tensor is float32 and on the CPU. Only the first view of a
        photograph, the whole image, is used. `images`, `batch_size` and the errors about them
        are as in `predict`, but an ImageError has no `predictions`.
        """
        check_counts(None, batch_size)
        several = is_batch(images)
        whole = partial(to_square, size=self.square_size)
        squares = raise_errors(open_each(images if several else [images], whole), several)
        rows = [np.empty((0, self.num_features), np.float32)]
        rows += [self.run(group).features for group in batches(squares, batch_size)]
        features = torch.from_numpy(np.concatenate(rows))
        return features if several else features[0]

    def get_classifier(self) -> nn.Module:
        """Return the last layer, which computes the logits."""
        return self.head[-1]

    @property
    def pretrained_cfg(self) -> dict[str, Any]:
        """A dictionary like timm's `pretrained_cfg`, with the keys that apply to this network.

        timm's `resolve_data_config` and `create_transform` turn it into a transform equivalent to
        `transform("direct")`. But `predict` resizes each view as `transform("via_32")` does.
        """
        config = self.config
        return {
            "architecture": f"mobilenetv3_{config.size}",
            "input_size": (3, config.image_size, config.image_size),
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "crop_mode": "squash",
            "mean": config.mean,
            "std": config.std,
            "num_classes": config.num_classes,
            "label_names": list(config.labels),
            "first_conv": "features.stem",
            "classifier": f"head.{len(self.head) - 1}",
        }


def to_outputs(logits: Tensor, features: Tensor) -> Outputs:
    """Pool features (N, F, h, w) to (N, F), and convert them and the logits to numpy arrays."""
    pooled = features.mean(dim=(2, 3))
    return Outputs(*(values.detach().float().cpu().numpy() for values in (logits, pooled)))


def to_batch(network: MobileNetV3Cifar, squares: list[Image.Image]) -> Tensor:
    """Convert N square images to a tensor (N, 3, S, S) with the network's dtype and device."""
    inputs = to_input(squares, network.config.mean, network.config.std)
    # Use the channels-last memory layout, as in training.
    return inputs.contiguous(memory_format=torch.channels_last).to(next(network.parameters()))


def in_evaluation_mode(model: MobileNetV3Cifar, differentiable: bool = False) -> MobileNetV3Cifar:
    """Return `model` if all its modules are in evaluation mode, else a copy in evaluation mode.

    If `differentiable` is true, a model is also copied if its weights are not float32 or were
    created in inference mode. The weights of the copy are then float32 and work with autograd.
    """
    weight = next(model.parameters())
    usable = not any(part.training for part in model.modules())
    if differentiable:
        usable &= weight.dtype == torch.float32 and not weight.is_inference()
    if usable:
        return model
    with torch.inference_mode(False):
        network = evaluation_copy(model)
        return network.float() if differentiable else network


def evaluation_copy(model: MobileNetV3Cifar) -> MobileNetV3Cifar:
    return copy.deepcopy(model).eval().requires_grad_(False)
