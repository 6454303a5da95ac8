"""Export a network as an ONNX file with the inputs and outputs that `onnx_metadata` describes.

The file computes Grad-CAM in closed form, without a backward pass. This module needs the package's
extra "export".
"""

import os
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from PIL import Image
from torch import Tensor, nn

from mobilenetv3_cifar import ood
from mobilenetv3_cifar.config import digest
from mobilenetv3_cifar.errors import MobileNetV3CifarError
from mobilenetv3_cifar.files import replace_files
from mobilenetv3_cifar.folder import encode_weights
from mobilenetv3_cifar.model import MobileNetV3Cifar, evaluation_copy
from mobilenetv3_cifar.onnx_metadata import DESCRIPTION, metadata
from mobilenetv3_cifar.preprocessing import NATIVE_SIZE, pillow_resize, to_input, to_square
from mobilenetv3_cifar.runtime import open_session, run_onnx

TOLERANCE = 1e-4  # the largest accepted result of `compare` for a float32 file


class ExportError(MobileNetV3CifarError):
    """Raised when an ONNX file cannot be written, or its logits would be too inaccurate."""


def export_onnx(
    model: MobileNetV3Cifar, path: str | os.PathLike[str], int8_images: np.ndarray | None = None
) -> float:
    """Write `model` to an ONNX file atomically.

    Args:
        model: the network; it is not changed.
        path: the ONNX file to write; its folder must exist.
        int8_images: uint8 (N, 32, 32, 3), a few hundred training images. If given, most weights and
            activations become 8-bit integers. The activations' ranges are measured on these images.

    Returns:
        The largest absolute difference between the file's and the network's logits on four random
        images, divided by the network's largest absolute logit if this logit is above 1.

    Raises:
        ExportError: the file cannot be written, or `int8_images` is None and the returned
            difference would be above 1e-4.
    """
    target = Path(path)
    if target.is_dir() or not target.parent.is_dir():  # check this first: an export takes a minute
        why = "it is a folder" if target.is_dir() else f"{target.parent} is not a folder"
        raise ExportError(f"{path} cannot be written: {why}")
    network = evaluation_copy(model).float().cpu()
    if int8_images is None:
        proto = trace(network)
    else:
        from mobilenetv3_cifar.int8 import quantize  # circular if imported at the top

        proto = quantize(evaluation_copy(network), int8_images)
    weights_sha256 = digest(encode_weights(network.state_dict()))
    onnx.helper.set_model_props(proto, metadata(network.config, weights_sha256))
    onnx.checker.check_model(proto)
    content = proto.SerializeToString()
    difference = compare(network, content)
    if int8_images is None and difference > TOLERANCE:
        raise ExportError(f"{path} is not written: its logits would differ by {difference:.2g}")
    try:
        replace_files(target.parent, {target.name: content})
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error.strerror}") from error
    return difference


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


def compare(network: MobileNetV3Cifar, content: bytes) -> float:
    """Compute the difference that `export_onnx` returns, with batches of one and three images."""
    noise = np.random.default_rng(0).integers(0, 256, (4, NATIVE_SIZE, NATIVE_SIZE, 3), np.uint8)
    config = network.config
    squares = [to_square(Image.fromarray(image), config.image_size) for image in noise]
    with torch.inference_mode():
        expected = network(to_input(squares, config.mean, config.std)).numpy()
    session = open_session(content)
    found = [run_onnx(session, part)["logits"] for part in (noise[:1], noise[1:])]
    difference = np.abs(np.concatenate(found) - expected).max()
    return float(difference / max(1.0, np.abs(expected).max()))


class ExportedNetwork(nn.Module):
    """A network that maps uint8 images (N, 32, 32, 3) and int32 targets (N,) to the file's outputs.

    A target is the index of the class to explain. A negative target means the predicted class.
    """

    def __init__(self, network: MobileNetV3Cifar) -> None:
        super().__init__()
        config = network.config
        self.network, self.config = network, config
        mean, std = (torch.tensor(each).view(3, 1, 1) for each in (config.mean, config.std))
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
        (N, K) is with respect to the pooled features, which are means of h * w positions. So at
        each position of the feature map (N, K, h, w), the gradient is `gradient` / (h * w).
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
