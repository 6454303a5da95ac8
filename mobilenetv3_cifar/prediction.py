"""Running the network with torch: outputs and gradients of images; the network is left as found.

Nothing of the caller's (autocast, gradient modes, default type or device, a network in training
mode) changes results, and threads may share a network: no hook is set and no state is kept.
"""

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from mobilenetv3_cifar import ood
from mobilenetv3_cifar.classifier import (
    Classifier,
    Evidence,
    Outputs,
    Squares,
    batches,
    prepare_each,
    run_crops,
)
from mobilenetv3_cifar.errors import ImageError
from mobilenetv3_cifar.inputs import ImageInput, is_batch
from mobilenetv3_cifar.preprocessing import to_input

if TYPE_CHECKING:
    from mobilenetv3_cifar.model import MobileNetV3Cifar

FINEST_LAYERS = 4  # resolutions; finer maps show edges, and EigenCAM's cost grows with their area


class TorchClassifier(Classifier):
    """What `Classifier` asks of a runtime, for a MobileNetV3Cifar."""

    num_features: int

    def run(self: "MobileNetV3Cifar", squares: Squares) -> Outputs:  # type: ignore[misc]
        network = in_evaluation_mode(self)
        inputs = to_batch(network, squares)
        with torch.inference_mode(), no_autocast(inputs):
            features = network.forward_features(inputs)
            return to_outputs(network.forward_head(features), features)

    def ood_scores(self: "MobileNetV3Cifar", outputs: Outputs) -> np.ndarray:  # type: ignore[misc]
        logits, features = (torch.from_numpy(rows) for rows in outputs)
        mean = getattr(self, "feature_mean", None)
        with torch.inference_mode():
            return ood.score(
                self.config.ood_score,
                features,
                logits,
                temperature=self.config.temperature,
                weight=head_weight(self.head),
                feature_mean=None if mean is None else mean.float().cpu(),
            ).numpy()

    def evidence(  # type: ignore[misc]
        self: "MobileNetV3Cifar", squares: Squares, target: int | None, layer: str
    ) -> Evidence:
        network = in_evaluation_mode(self, differentiable=True)
        before, after = split_at(network.features, layer)
        inputs = to_batch(network, squares)
        with torch.inference_mode(False), no_autocast(inputs):
            with torch.no_grad():
                start = before(inputs.clone())
            with torch.enable_grad():  # the graph begins at the layer
                activations = start.requires_grad_()
                features = after(activations)
                logits = network.forward_head(features)
                if target is None:
                    target = int(logits.mean(dim=0).argmax())
                # autograd.grad leaves the .grad of the network's parameters alone.
                (gradients,) = torch.autograd.grad(logits[:, target].sum(), activations)
        maps = (values.detach().float().cpu().numpy() for values in (activations, gradients))
        return Evidence(to_outputs(logits, features), target, *maps)

    def layers(self: "MobileNetV3Cifar") -> list[str]:  # type: ignore[misc]
        names = [name for name, _ in stages(self.features)]
        followers = [stage for _, stage in stages(self.features)][1:]
        last = [name for name, next_one in zip(names, followers, strict=False) if strided(next_one)]
        return [*(f"features.{name}" for name in last), "features"][-FINEST_LAYERS:]

    def extract_features(self, images: Any, batch_size: int = 64) -> Tensor:
        """Pooled features before the head: (F,) of one image, (N, F) of a list; F is num_features.

        They are float32, on the CPU, and the mean over the crops of an image that has several.
        Images and errors are those of `predict`.
        """
        if is_batch(images):
            return compute_outputs(self, images, batch_size)[1]
        return compute_outputs(self, [images], batch_size)[1][0]


def compute_logits(
    model: "MobileNetV3Cifar", images: Iterable[ImageInput], batch_size: int = 64
) -> Tensor:
    """Images of any size -> logits, float32 (N, C), on the CPU; always in evaluation mode."""
    return compute_outputs(model, images, batch_size)[0]


def compute_outputs(
    model: TorchClassifier, images: Iterable[ImageInput], batch_size: int = 64
) -> tuple[Tensor, Tensor]:
    """Images -> logits (N, C) and pooled features (N, F), float32, on the CPU.

    Raises:
        ImageError: an image cannot be opened.
    """
    parts = [
        run_crops(model, [opened(image) for image in group], batch_size)
        for group in batches(prepare_each(images, model.square_size), batch_size)
    ]
    if not parts:
        sizes = model.config.num_classes, model.num_features
        logits, features = (torch.empty(0, size, dtype=torch.float32) for size in sizes)
        return logits, features
    logits, features = (torch.from_numpy(np.concatenate(rows)) for rows in zip(*parts, strict=True))
    return logits, features


def opened(squares: Squares | ImageError) -> Squares:
    if isinstance(squares, ImageError):
        raise squares
    return squares


def to_probabilities(model: "MobileNetV3Cifar", logits: Tensor) -> Tensor:
    """Logits (..., C) -> probabilities (..., C), softened by the config's temperature."""
    return (logits / model.config.temperature).softmax(dim=-1)


def to_outputs(logits: Tensor, features: Tensor) -> Outputs:
    """(N, C) and (N, F, h, w) -> numpy, the features pooled."""
    pooled = features.mean(dim=(2, 3))
    return Outputs(*(values.detach().float().cpu().numpy() for values in (logits, pooled)))


def to_batch(network: "MobileNetV3Cifar", squares: Squares) -> Tensor:
    """The network's input (N, 3, S, S), on its device and of its type."""
    config = network.config
    inputs = to_input(squares, config.mean, config.std)
    # Channels last, the layout that the network was trained in.
    return inputs.contiguous(memory_format=torch.channels_last).to(next(network.parameters()))


def in_evaluation_mode(
    model: "MobileNetV3Cifar", differentiable: bool = False
) -> "MobileNetV3Cifar":
    """The model itself where it can be used as it is, else a private copy.

    Gradients need float32, and tensors that were not made in inference mode.
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
    """A private network in evaluation mode: what is done to it never shows in the original."""
    return copy.deepcopy(model).eval().requires_grad_(False)


@contextmanager
def no_autocast(inputs: Tensor) -> Iterator[None]:
    with torch.autocast(inputs.device.type, enabled=False):
        yield


def stages(features: nn.Module) -> list[tuple[str, nn.Module]]:
    """The steps of the feature extractor in order, each block one step."""
    steps: list[tuple[str, nn.Module]] = []
    for name, part in features.named_children():
        if name == "blocks":
            steps += [(f"blocks.{index}", block) for index, block in part.named_children()]
        else:
            steps.append((name, part))
    return steps


def split_at(features: nn.Module, layer: str) -> tuple[nn.Module, nn.Module]:
    """What computes the map of one of `layers`, and what follows it."""
    if layer == "features":
        return features, nn.Identity()
    steps = stages(features)
    end = [f"features.{name}" for name, _ in steps].index(layer) + 1
    before, after = (
        nn.Sequential(*(step for _, step in part)) for part in (steps[:end], steps[end:])
    )
    return before, after


def strided(stage: nn.Module) -> bool:
    return any(isinstance(part, nn.Conv2d) and max(part.stride) > 1 for part in stage.modules())


def head_weight(head: nn.Module) -> Tensor | None:
    """(C, F), float32, of a head of one linear layer or 1x1 convolution; None for any other."""
    layers = [part for part in head.modules() if isinstance(part, nn.Linear | nn.Conv2d)]
    return layers[0].weight.detach().float().cpu().flatten(1) if len(layers) == 1 else None
