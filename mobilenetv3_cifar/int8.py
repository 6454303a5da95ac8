"""In an exported network, quantize the layers that onnxruntime runs faster with 8-bit integers.

The choice of layers is based on each node's time in onnxruntime's profiler, at batch size 1. With
8-bit integers, 1x1 convolutions with many channels are faster, but depthwise convolutions on 16x16
maps are slower. Onnxruntime fuses a float convolution with the hardswish after it, but an integer
hardswish takes several operations. Therefore, all layers before the first wide bottleneck stay in
float. A bottleneck is wide if it has at least `WIDE` expanded channels. If no bottleneck has that
many, those with the most are wide. The last pooling and the head stay in float too.

Every operation between two integer convolutions must use integers too. Onnxruntime has no integer
hardsigmoid, so x / 6 + 1/2 is computed instead and clipped to [0, 1]. The clipping needs no
operation, because the 8-bit numbers can only represent this range. The division needs no operation
either, because it only changes the scale of the 8-bit numbers.
"""

import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.quant_utils import add_pre_process_metadata
from torch import Tensor, nn

from mobilenetv3_cifar.architecture import LAYOUTS, SqueezeExcite
from mobilenetv3_cifar.classifier import batches
from mobilenetv3_cifar.model import MobileNetV3Cifar
from mobilenetv3_cifar.onnx_metadata import PREDICTED
from mobilenetv3_cifar.trace import trace

BATCH_SIZE = 16
INTEGER_OPERATIONS = ("Conv", "Relu", "Clip", "Add", "Mul", "GlobalAveragePool")
WIDE = 480  # bottlenecks with this many expanded channels or more are faster with integers


class Calibration(CalibrationDataReader):
    def __init__(self, images: np.ndarray) -> None:
        self.inputs = (
            {"images": np.stack(group), "target": np.full(len(group), PREDICTED, np.int32)}
            for group in batches(images, BATCH_SIZE)
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.inputs, None)


def quantize(network: MobileNetV3Cifar, images: np.ndarray) -> onnx.ModelProto:
    """Convert a network to an ONNX model that has 8-bit layers, but no metadata yet.

    Args:
        network: the network in evaluation mode. Some of its modules are replaced in place.
        images: N images, uint8 (N, 32, 32, 3), on which the ranges of the activations are measured.
    """
    float_convolutions = use_integer_operations(network)
    proto = trace(network)
    graph = proto.graph
    for node in graph.node:
        keeps_axes = any(each.name == "keepdims" and each.i == 1 for each in node.attribute)
        if node.op_type == "ReduceMean" and keeps_axes:  # onnxruntime has no integer ReduceMean
            node.op_type = "GlobalAveragePool"
            del node.input[1:], node.attribute[:]
    add_pre_process_metadata(proto)  # suppresses onnxruntime's advice to optimise the graph first
    convolutions = [i for i, node in enumerate(graph.node) if node.op_type == "Conv"]
    start = convolutions[float_convolutions]
    end = next(i for i, node in enumerate(graph.node) if "feature_map" in node.output)
    nodes = [node for node in graph.node[start : end + 1] if node.op_type in INTEGER_OPERATIONS]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "int8.onnx")
        quantize_static(
            proto,
            path,
            Calibration(images),
            quant_format=QuantFormat.QDQ,
            nodes_to_quantize=[node.name for node in nodes],
            per_channel=True,
            # Use 7-bit weights. On x86 CPUs without VNNI, onnxruntime sums two weight-activation
            # products in a 16-bit integer, which could overflow with 8-bit weights.
            reduce_range=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
            # Averaging the activation ranges of the batches costs less accuracy than using the
            # range over all images.
            extra_options={"CalibMovingAverage": True},
        )
        quantized = onnx.load(path)
    fold_constant_factors(quantized.graph)
    return quantized


def fold_constant_factors(graph: onnx.GraphProto) -> None:
    """Fold each multiplication of a quantized tensor by a constant into the tensor's scale.

    The zero points of the constants are not read: they are 0, because the constants are positive.
    """
    constants = {each.name: each for each in graph.initializer}
    made_by = {name: node for node in graph.node for name in node.output}
    for product in [node for node in graph.node if node.op_type == "Mul"]:
        tensor, factor = (made_by.get(name) for name in product.input)
        if tensor is None or factor is None or factor.input[0] not in constants:
            continue
        quantized_factor, scale = (numpy_helper.to_array(constants[n]) for n in factor.input[:2])
        (requantize,) = (node for node in graph.node if product.output[0] in node.input)
        (dequantize,) = (node for node in graph.node if requantize.output[0] in node.input)
        _, scale_name, unused = requantize.input
        scale = quantized_factor * scale * numpy_helper.to_array(constants[tensor.input[1]])
        constants[scale_name].CopyFrom(numpy_helper.from_array(scale, scale_name))
        dequantize.input[:] = [tensor.input[0], scale_name, tensor.input[2]]
        graph.node.remove(product)
        graph.node.remove(requantize)
        graph.initializer.remove(constants[unused])


def use_integer_operations(network: MobileNetV3Cifar) -> int:
    """Replace squeeze-and-excite and hardswish with operations that have integer versions.

    Modules before the first wide bottleneck do not change. Return the number of convolutions in
    these unchanged modules.
    """
    features, config = network.features, network.config
    blocks = list(features.get_submodule("blocks").children())
    widths = [row.expanded for row in LAYOUTS[config.size, config.blocks].rows]
    wide = next(i for i, width in enumerate(widths) if width >= min(WIDE, max(widths)))
    before = [features.get_submodule("stem"), *blocks[:wide]]
    for module in (*blocks[wide:], features):
        for name, part in module.named_children():
            if isinstance(part, SqueezeExcite):
                setattr(module, name, ConvolutionGate(part))
            elif isinstance(part, nn.Hardswish) and name != "stem_activation":
                setattr(module, name, SplitHardswish())
    return sum(isinstance(layer, nn.Conv2d) for part in before for layer in part.modules())


class ConvolutionGate(nn.Module):
    """A `SqueezeExcite` with 1x1 convolutions instead of linear layers."""

    def __init__(self, gate: SqueezeExcite) -> None:
        super().__init__()
        self.squeeze, self.excite = pointwise(gate.squeeze), pointwise(gate.excite)

    def forward(self, x: Tensor) -> Tensor:
        squeezed = self.squeeze(x.mean(dim=(2, 3), keepdim=True)).relu()
        return x * hardsigmoid(self.excite(squeezed))


class SplitHardswish(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * hardsigmoid(x)


def pointwise(layer: nn.Linear) -> nn.Conv2d:
    convolution = nn.Conv2d(layer.in_features, layer.out_features, 1, bias=layer.bias is not None)
    convolution.weight = nn.Parameter(layer.weight[:, :, None, None], requires_grad=False)
    convolution.bias = layer.bias
    return convolution


def hardsigmoid(x: Tensor) -> Tensor:
    return (x * (1 / 6) + 0.5).clamp(0, 1)
