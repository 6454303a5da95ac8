"""The network and everything around it as one module, which is what `export` traces.

From 32x32 uint8 images to probabilities, out-of-distribution score and Grad-CAM. The map is a
formula of the forward pass: no gradient is computed by going backwards.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mobilenetv3_cifar import ood
from mobilenetv3_cifar.architecture import SqueezeExcite
from mobilenetv3_cifar.model import MobileNetV3Cifar
from mobilenetv3_cifar.preprocessing import NATIVE_SIZE

FIXED_POINT = 2**22  # Pillow resizes with whole-number weights of this scale


class Outputs(NamedTuple):
    """N images, C classes, S = image_size, K channels of the last feature map, (h, w)."""

    probabilities: Tensor  # (N, C)
    logits: Tensor  # (N, C)
    ood_score: Tensor  # (N,)
    activation_map: Tensor  # (N, S, S) in [0, 1]: Grad-CAM of the target class
    features: Tensor  # (N, K): the pooled features
    feature_map: Tensor  # (N, K, h, w)
    gradient: Tensor  # (N, K): of the target's logit at the pooled features


class AnsweringNetwork(nn.Module):
    """uint8 images (N, 32, 32, 3), int32 targets (N,) -> `Outputs`.

    A target is the index of the class that the map is for; a negative one means the predicted.
    """

    def __init__(self, network: MobileNetV3Cifar) -> None:
        super().__init__()
        self.network, self.config = network, network.config
        self.resize = PillowResize(network.config.image_size)
        mean, std = (torch.tensor(each) for each in (network.config.mean, network.config.std))
        self.register_buffer("scale", (1 / (255 * std)).view(3, 1, 1))
        self.register_buffer("shift", (-mean / std).view(3, 1, 1))

    def forward(self, images: Tensor, target: Tensor) -> Outputs:
        inputs = self.resize(images.permute(0, 3, 1, 2)) * self.scale + self.shift
        feature_map = self.network.forward_features(inputs)
        features = feature_map.mean(dim=(2, 3))
        logits = self.network.forward_head(feature_map)
        gradient = self.head_gradient(features, torch.where(target < 0, logits.argmax(1), target))
        return Outputs(
            (logits / self.config.temperature).softmax(dim=1),
            logits,
            self.ood_score(features, logits),
            self.activation_map(feature_map, gradient),
            features,
            feature_map,
            gradient,
        )

    def ood_score(self, features: Tensor, logits: Tensor) -> Tensor:
        return ood.score(
            self.config.ood_score,
            features,
            logits,
            temperature=self.config.temperature,
            weight=None if self.hidden else self.last.weight.flatten(1),
            feature_mean=getattr(self.network, "feature_mean", None),
        )

    def head_gradient(self, features: Tensor, target: Tensor) -> Tensor:
        """d logits[target] / d features, (N, K): of a head of one linear layer, its row."""
        gradient = self.last.weight.flatten(1)[target]
        for layer in self.hidden:
            weight = layer.weight.flatten(1)
            before = nn.functional.linear(features, weight, layer.bias)
            gradient = (gradient * hardswish_slope(before)) @ weight
        return gradient

    def activation_map(self, feature_map: Tensor, gradient: Tensor) -> Tensor:
        """Grad-CAM (Selvaraju et al. 2017), scaled as pytorch_grad_cam does: before and after.

        The gradient at each place of the feature map is that at the pooled features over h x w.
        """
        height, width = feature_map.shape[2:]
        cam = (gradient[:, None] @ feature_map.flatten(2)) / (height * width)  # (N, 1, h * w)
        cam = unit_range(cam.unflatten(2, (height, width)).relu())
        size = self.config.image_size
        enlarged = nn.functional.interpolate(
            cam, (size, size), mode="bilinear", align_corners=False
        )
        return unit_range(enlarged)[:, 0]

    @property
    def hidden(self) -> list[nn.Conv2d]:
        """The head's 1x1 convolutions before the last."""
        return [part for part in self.network.head if isinstance(part, nn.Conv2d)][:-1]

    @property
    def last(self) -> nn.Conv2d:
        return last_layer(self.network)


def last_layer(network: MobileNetV3Cifar) -> nn.Conv2d:
    layer = network.head[-1]
    assert isinstance(layer, nn.Conv2d)
    return layer


def hardswish_slope(x: Tensor) -> Tensor:
    """The derivative of hardswish: 0 up to -3, 1 from 3, (2x + 3) / 6 between."""
    return torch.where(x <= -3, 0.0, torch.where(x >= 3, 1.0, x / 3 + 0.5))


def unit_range(maps: Tensor) -> Tensor:
    """Shift and divide each map (N, 1, h, w) so that it spans 0 to 1; a constant one becomes 0."""
    maps = maps - maps.amin(dim=(2, 3), keepdim=True)
    return maps / (1e-7 + maps.amax(dim=(2, 3), keepdim=True))


class PillowResize(nn.Module):
    """uint8 (N, 3, 32, 32) -> float32 (N, 3, size, size), equal to Pillow's bilinear enlargement.

    Pillow enlarges along x, rounds to whole numbers, then along y. Each pixel is a sum of two, with
    weights that are multiples of 2**-22, which is exact in float64.
    """

    first: Tensor
    second: Tensor
    weight: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        first, second, weight = zip(*(neighbours(i, size) for i in range(size)), strict=True)
        self.register_buffer("first", torch.tensor(first))
        self.register_buffer("second", torch.tensor(second))
        self.register_buffer("weight", torch.tensor(weight, dtype=torch.float64))

    def forward(self, images: Tensor) -> Tensor:
        if self.size == NATIVE_SIZE:
            return images.float()
        wide = self.along(images.double(), 3, self.weight)
        return self.along(wide, 2, self.weight[:, None]).float()

    def along(self, x: Tensor, axis: int, weight: Tensor) -> Tensor:
        first, second = x.index_select(axis, self.first), x.index_select(axis, self.second)
        return (first * (1 - weight) + second * weight + 0.5).floor()


def neighbours(index: int, size: int) -> tuple[int, int, float]:
    """The two of 32 pixels that pixel `index` of `size` lies between; the second one's weight."""
    centre = (index + 0.5) * NATIVE_SIZE / size - 0.5
    first = math.floor(centre)
    weight = math.floor((centre - first) * FIXED_POINT + 0.5) / FIXED_POINT
    return max(first, 0), min(first + 1, NATIVE_SIZE - 1), weight


class ConvolutionGate(nn.Module):
    """A `SqueezeExcite` in operations that onnxruntime has for 8-bit integers: 1x1 convolutions.

    Its hardsigmoid, x / 6 + 1/2 cut to [0, 1], is part of the second one and of the cut.
    """

    def __init__(self, gate: SqueezeExcite) -> None:
        super().__init__()
        self.squeeze = pointwise(gate.squeeze)
        self.excite = pointwise(gate.excite, factor=1 / 6, shift=0.5)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.squeeze(x.mean(dim=(2, 3), keepdim=True)).relu()
        return x * self.excite(gate).clamp(0, 1)


def pointwise(layer: nn.Linear, factor: float = 1.0, shift: float = 0.0) -> nn.Conv2d:
    """A linear layer, its outputs times `factor` plus `shift`, as a 1x1 convolution."""
    bias = torch.zeros(layer.out_features) if layer.bias is None else layer.bias
    convolution = nn.Conv2d(layer.in_features, layer.out_features, 1)
    convolution.weight = nn.Parameter(layer.weight[:, :, None, None] * factor, requires_grad=False)
    convolution.bias = nn.Parameter(bias * factor + shift, requires_grad=False)
    return convolution


def use_convolution_gates(module: nn.Module) -> None:
    """Replace every `SqueezeExcite` inside, in place; the outputs stay the same."""
    for name, part in module.named_children():
        if isinstance(part, SqueezeExcite):
            setattr(module, name, ConvolutionGate(part))
        else:
            use_convolution_gates(part)
