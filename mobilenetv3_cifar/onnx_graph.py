"""The torch module that `export` traces: a network with preprocessing and postprocessing.

It computes probabilities, out-of-distribution scores and Grad-CAM maps from 32x32 uint8 images.
Grad-CAM is computed in closed form, without a backward pass.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from mobilenetv3_cifar import ood
from mobilenetv3_cifar.model import MobileNetV3Cifar
from mobilenetv3_cifar.preprocessing import pillow_resize


class GraphOutputs(NamedTuple):
    """Outputs for N images and C classes. S is image_size, and feature maps have K channels."""

    probabilities: Tensor  # (N, C)
    logits: Tensor  # (N, C)
    ood_score: Tensor  # (N,)
    activation_map: Tensor  # (N, S, S) in [0, 1]: Grad-CAM of the target class
    features: Tensor  # (N, K): the pooled features
    feature_map: Tensor  # (N, K, h, w)
    gradient: Tensor  # (N, K): gradient of the target's logit with respect to the pooled features


class ExportedNetwork(nn.Module):
    """uint8 images (N, 32, 32, 3) and int32 targets (N,) -> `GraphOutputs`.

    A target is the index of the class to explain. A negative target means the predicted class.
    """

    def __init__(self, network: MobileNetV3Cifar) -> None:
        super().__init__()
        config = network.config
        self.network, self.config = network, config
        mean, std = (torch.tensor(each).view(3, 1, 1) for each in (config.mean, config.std))
        self.scale, self.shift = 1 / (255 * std), -mean / std

    def forward(self, images: Tensor, target: Tensor) -> GraphOutputs:
        config = self.config
        pixels = pillow_resize(images.permute(0, 3, 1, 2), config.image_size).float()
        feature_map = self.network.forward_features(pixels * self.scale + self.shift)
        features = feature_map.mean(dim=(2, 3))
        logits = self.network.forward_head(feature_map)
        gradient = self.head_gradient(features, torch.where(target < 0, logits.argmax(1), target))
        return GraphOutputs(
            (logits / config.temperature).softmax(dim=1),
            logits,
            ood.score(torch, config.ood_score, logits, config.temperature),
            self.activation_map(feature_map, gradient),
            features,
            feature_map,
            gradient,
        )

    def head_gradient(self, features: Tensor, target: Tensor) -> Tensor:
        """d logits[target] / d features (N, K). It is a row of weights if the head is linear."""
        *hidden, last = (part for part in self.network.head if isinstance(part, nn.Conv2d))
        gradient = last.weight.flatten(1)[target]
        for layer in hidden:
            weight = layer.weight.flatten(1)
            before = nn.functional.linear(features, weight, layer.bias)
            gradient = (gradient * hardswish_slope(before)) @ weight
        return gradient

    def activation_map(self, feature_map: Tensor, gradient: Tensor) -> Tensor:
        """Grad-CAM (Selvaraju et al. 2017).

        Like pytorch_grad_cam, this scales the map to [0, 1] before and after it is resized.
        `gradient` is the gradient with respect to the pooled features. The gradient with respect to
        any position of the feature map is `gradient` / (h * w).
        """
        height, width = feature_map.shape[2:]
        cam = (gradient[:, None] @ feature_map.flatten(2)) / (height * width)  # (N, 1, h * w)
        cam = unit_range(cam.unflatten(2, (height, width)).relu())
        size = self.config.image_size
        enlarged = nn.functional.interpolate(
            cam, (size, size), mode="bilinear", align_corners=False
        )
        return unit_range(enlarged)[:, 0]


def hardswish_slope(x: Tensor) -> Tensor:
    """The derivative of hardswish: 0 below -3, 1 above 3, (2x + 3) / 6 in between."""
    return torch.where(x <= -3, 0.0, torch.where(x >= 3, 1.0, x / 3 + 0.5))


def unit_range(maps: Tensor) -> Tensor:
    """Shift and scale each of N maps (N, 1, h, w) to span 0 to 1. A constant map becomes all 0."""
    maps = maps - maps.amin(dim=(2, 3), keepdim=True)
    return maps / (1e-7 + maps.amax(dim=(2, 3), keepdim=True))
