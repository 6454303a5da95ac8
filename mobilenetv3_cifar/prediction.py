"""Compute outputs and gradients of a network with torch, without changing the network.

The caller's settings (autocast, gradient modes, default dtype or device, training mode) do not
change the results. Threads can share a network, as this module sets no hooks and keeps no state.
"""

import copy
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from mobilenetv3_cifar.classifier import (
    Classifier,
    Evidence,
    Outputs,
    batches,
    check_counts,
    open_square,
)
from mobilenetv3_cifar.images import is_batch
from mobilenetv3_cifar.preprocessing import to_input

if TYPE_CHECKING:
    from mobilenetv3_cifar.model import MobileNetV3Cifar

# `layers` lists at most this many. Maps of earlier layers show edges and slow down EigenCAM.
FINEST_LAYERS = 4


class TorchClassifier(Classifier):
    """Defines the abstract methods of `Classifier` for a MobileNetV3Cifar."""

    def run(self: "MobileNetV3Cifar", squares: list[Image.Image]) -> Outputs:  # type: ignore[misc]
        network = in_evaluation_mode(self)
        inputs = to_batch(network, squares)
        with (
            replaced_layers_named(self),
            torch.inference_mode(),
            torch.autocast(inputs.device.type, enabled=False),
        ):
            features = network.forward_features(inputs)
            return to_outputs(network.forward_head(features), features)

    def evidence(  # type: ignore[misc]
        self: "MobileNetV3Cifar", square: Image.Image, target: int | None, layer: str
    ) -> Evidence:
        network = in_evaluation_mode(self, differentiable=True)
        before, after = split_at(network.features, layer)
        inputs = to_batch(network, [square])
        with torch.inference_mode(False), torch.autocast(inputs.device.type, enabled=False):
            with torch.no_grad():
                start = before(inputs.clone())
            with torch.enable_grad():  # autograd's graph begins at the layer
                activations = start.requires_grad_()
                features = after(activations)
                logits = network.forward_head(features)
                if target is None:
                    target = int(logits.argmax())
                # Unlike backward(), autograd.grad does not change the .grad of the parameters.
                (gradients,) = torch.autograd.grad(logits[0, target], activations)
        maps = (values[0].detach().float().cpu().numpy() for values in (activations, gradients))
        return Evidence(to_outputs(logits, features), target, *maps)

    def layers(self: "MobileNetV3Cifar") -> list[str]:  # type: ignore[misc]
        pairs = itertools.pairwise(stages(self.features).items())
        last = [name for (name, _), (_, following) in pairs if strided(following)]
        return [*last, "features"][-FINEST_LAYERS:]

    def extract_features(  # type: ignore[misc]
        self: "MobileNetV3Cifar", images: Any, batch_size: int = 64
    ) -> Tensor:
        """The pooled features before the head: (F,) for one image, (N, F) for a list.

        F is num_features. The features are float32 and on the CPU. `images` may be anything that
        `predict` accepts. The errors are those of `predict`.
        """
        check_counts(None, batch_size)
        several = is_batch(images)
        rows = [np.empty((0, self.num_features), np.float32)]
        for group in batches(images if several else [images], batch_size):
            squares = [open_square(image, self.square_size) for image in group]
            rows.append(self.run(squares).features)
        features = torch.from_numpy(np.concatenate(rows))
        return features if several else features[0]


@contextmanager
def replaced_layers_named(model: "MobileNetV3Cifar") -> Iterator[None]:
    """If a network with replaced layers fails, raise a ModelFolderError that names one of them."""
    try:
        yield
    except RuntimeError:
        model.check_layers()
        raise


def to_outputs(logits: Tensor, features: Tensor) -> Outputs:
    """Convert logits (N, C) and features (N, F, h, w) to numpy arrays, and pool the features."""
    pooled = features.mean(dim=(2, 3))
    return Outputs(*(values.detach().float().cpu().numpy() for values in (logits, pooled)))


def to_batch(network: "MobileNetV3Cifar", squares: list[Image.Image]) -> Tensor:
    """Convert images to the network's input (N, 3, S, S), on its device and in its dtype."""
    config = network.config
    inputs = to_input(squares, config.mean, config.std)
    # Use the channels-last memory layout, as in training.
    return inputs.contiguous(memory_format=torch.channels_last).to(next(network.parameters()))


def in_evaluation_mode(
    model: "MobileNetV3Cifar", differentiable: bool = False
) -> "MobileNetV3Cifar":
    """The model itself if it can be used unchanged, else a private copy in evaluation mode.

    It can be used if all its modules are in evaluation mode. If `differentiable`, its weights must
    also be float32, and must not have been created in inference mode.
    """
    usable = not any(part.training for part in model.modules())
    if usable and differentiable:
        weight = next(model.parameters())
        usable = weight.dtype == torch.float32 and not weight.is_inference()
    if usable:
        return model
    with torch.inference_mode(False):
        network = evaluation_copy(model)
        return network.float() if differentiable else network


def evaluation_copy(model: "MobileNetV3Cifar") -> "MobileNetV3Cifar":
    """A deep copy of the model, in evaluation mode. Its parameters require no gradients."""
    return copy.deepcopy(model).eval().requires_grad_(False)


def stages(features: nn.Module) -> dict[str, nn.Module]:
    """The steps of the feature extractor by name, in order. Each bottleneck is one step."""
    steps: dict[str, nn.Module] = {}
    for name, part in features.named_children():
        if name == "blocks":
            steps |= {f"features.blocks.{index}": block for index, block in part.named_children()}
        else:
            steps[f"features.{name}"] = part
    return steps


def split_at(features: nn.Module, layer: str) -> tuple[nn.Module, nn.Module]:
    """Split the feature extractor into two modules, after a layer that `layers` lists."""
    if layer == "features":
        return features, nn.Identity()
    steps = stages(features)
    end, parts = [*steps].index(layer) + 1, [*steps.values()]
    return nn.Sequential(*parts[:end]), nn.Sequential(*parts[end:])


def strided(stage: nn.Module) -> bool:
    return any(isinstance(part, nn.Conv2d) and max(part.stride) > 1 for part in stage.modules())
