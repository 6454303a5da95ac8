"""Trace a network into an ONNX graph, whose inputs and outputs `onnx_metadata` describes.

The graph computes Grad-CAM in closed form, without a backward pass.
"""

import warnings

import onnx
import torch
from torch import Tensor, nn

from mobilenetv3_cifar import ood
from mobilenetv3_cifar.model import MobileNetV3Cifar
from mobilenetv3_cifar.onnx_metadata import DESCRIPTION
from mobilenetv3_cifar.preprocessing import NATIVE_SIZE, pillow_resize


def trace(network: MobileNetV3Cifar) -> onnx.ModelProto:
    """Convert a float32 network in evaluation mode to an ONNX model without metadata."""
    images = torch.zeros(2, NATIVE_SIZE, NATIVE_SIZE, 3, dtype=torch.uint8)
    batch = torch.export.Dim("batch")
    with warnings.catch_warnings():  # a warning is expected: both inputs share a batch axis
        warnings.filterwarnings("ignore", "# The axis name: batch will not be used", UserWarning)
        program = torch.onnx.export(
            ExportedNetwork(network).eval(),
            (images, torch.zeros(2, dtype=torch.int32)),  # batch size 1 would become a constant
            input_names=["images", "target"],
            output_names=list(DESCRIPTION["outputs"]),
            dynamic_shapes=({0: batch}, {0: batch}),
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # never None with dynamo=True
    proto = program.model_proto
    for part in (*proto.graph.node, *proto.graph.value_info, *proto.functions):
        del part.metadata_props[:]  # removes stack traces, which contain local paths
        part.doc_string = ""
    return proto


class ExportedNetwork(nn.Module):
    """A network that maps uint8 images (N, 32, 32, 3) and int32 targets (N,) to the ONNX outputs.

    A target is the index of the class to explain. A negative target means the predicted class.
    """

    def __init__(self, network: MobileNetV3Cifar) -> None:
        super().__init__()
        config = network.config
        self.network, self.config = network, config
        mean, std = (
            torch.tensor(each, dtype=torch.float32).view(3, 1, 1)
            for each in (config.mean, config.std)
        )
        self.scale, self.shift = 1 / (255 * std), -mean / std

    def forward(self, images: Tensor, target: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs in the order of `DESCRIPTION`, which explains each output."""
        config = self.config
        pixels = pillow_resize(images.permute(0, 3, 1, 2), config.image_size).float()
        feature_map = self.network.forward_features(pixels * self.scale + self.shift)
        features = feature_map.mean(dim=(2, 3))
        logits = self.network.forward_head(feature_map)
        gradient = self.head_gradient(features, torch.where(target < 0, logits.argmax(1), target))
        return (
            (logits / config.temperature).softmax(dim=1),
            logits,
            ood.score(torch, config, logits, features),
            self.activation_map(feature_map, gradient),
            features,
            feature_map,
            gradient,
        )

    def head_gradient(self, features: Tensor, target: Tensor) -> Tensor:
        """Return the gradient (N, K) of the target classes' logits with respect to `features`."""
        *hidden, last = (part for part in self.network.head if isinstance(part, nn.Conv2d))
        gradient = last.weight.flatten(1)[target]
        for layer in hidden:
            weight = layer.weight.flatten(1)
            before = nn.functional.linear(features, weight, layer.bias)
            gradient = (gradient * hardswish_slope(before)) @ weight
        return gradient

    def activation_map(self, feature_map: Tensor, gradient: Tensor) -> Tensor:
        """Return Grad-CAM maps (N, S, S) (Selvaraju et al. 2017), with S = `config.image_size`.

        Each map is scaled to [0, 1] before and after resizing, as in pytorch_grad_cam. `gradient`
        (N, K) is with respect to the pooled features, which are means over h * w positions. Hence,
        at each position of the feature map (N, K, h, w), the gradient is `gradient` / (h * w).
        """
        height, width = feature_map.shape[2:]
        cam = (gradient[:, None] @ feature_map.flatten(2)) / (height * width)  # (N, 1, h * w)
        cam = unit_range(cam.unflatten(2, (height, width)).relu())
        size = (self.config.image_size, self.config.image_size)
        return unit_range(nn.functional.interpolate(cam, size, mode="bilinear"))[:, 0]


def hardswish_slope(x: Tensor) -> Tensor:
    """Return the derivative of hardswish: 0 below -3, 1 above 3, (2x + 3) / 6 in between."""
    return torch.where(x <= -3, 0.0, torch.where(x >= 3, 1.0, x / 3 + 0.5))


def unit_range(maps: Tensor) -> Tensor:
    """Rescale each of N `maps` (N, 1, h, w) to [0, 1]. A constant map becomes all zeros."""
    maps = maps - maps.amin(dim=(2, 3), keepdim=True)
    return maps / (1e-7 + maps.amax(dim=(2, 3), keepdim=True))
