"""The exported network in 8-bit integers, in operations that onnxruntime runs faster than float.

What makes it fast, measured by profiling single nodes at batch 1:
- 1x1 convolutions of many channels gain two to four times, those of few hardly anything; depthwise
  ones on 16x16 maps lose (78 us against 24), and hardswish, which float convolutions include, is
  two operations. So 8 bits begin at the first wide bottleneck, which is the fastest place; what
  comes before, the last pooling and the head stay in float.
- Between two integer convolutions nothing may be float. Onnxruntime has no integer hardsigmoid, but
  x / 6 + 1/2, cut to [0, 1] by the limits of 8 bits, is one integer addition.
- Squeeze-and-excite runs on integers as pooling, two 1x1 convolutions and a multiplication; the
  second convolution's output is cut to [0, 1] and is the gate (`ConvolutionGate`).
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn

from mobilenetv3_cifar.export import trace
from mobilenetv3_cifar.model import MobileNetV3Cifar
from mobilenetv3_cifar.onnx_metadata import PREDICTED

BATCH_SIZE = 16
INTEGER_OPERATIONS = ("Conv", "Relu", "Clip", "Add", "Mul", "GlobalAveragePool")
WIDE = 480  # channels inside a bottleneck, from which on integers pay
LEVELS = 255
HARDSIGMOID_SLOPE = 6  # x / 6 + 1/2 between -3 and 3
LOWEST = -3.0  # hardsigmoid and hardswish are 0 below


class Calibration(CalibrationDataReader):
    """Feeds images to onnxruntime, which asks for one batch after another."""

    def __init__(self, images: np.ndarray) -> None:
        self.batches = self.split(images)

    def split(self, images: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        for start in range(0, len(images), BATCH_SIZE):
            batch = images[start : start + BATCH_SIZE]
            yield {"images": batch, "target": np.full(len(batch), PREDICTED, np.int32)}

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.batches, None)


def quantize(network: MobileNetV3Cifar, images: np.ndarray) -> bytes:
    """The content of the 8-bit file.

    Args:
        network: in evaluation mode; it is changed, and cannot be trained afterwards.
        images: uint8 (N, 32, 32, 3), which the ranges of the activations are taken from.
    """
    content = onnx.load_from_string(trace(network, convolution_gates=True))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pool_globally(content.graph)
        onnx.save(content, folder / "float.onnx")
        # This also splits hardswish into hardsigmoid and multiplication. Shapes are known already.
        quant_pre_process(folder / "float.onnx", folder / "ready.onnx", skip_symbolic_shape=True)
        ready = onnx.load(folder / "ready.onnx")
        name_nodes(ready.graph)
        quantize_static(
            ready,
            folder / "int8.onnx",
            Calibration(images),
            quant_format=QuantFormat.QDQ,
            nodes_to_quantize=integer_nodes(network, ready.graph),
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
            # A moving average of the ranges lost less accuracy than the whole ranges.
            extra_options={"CalibMovingAverage": True},
        )
        quantized = onnx.load(folder / "int8.onnx")
    IntegerHardsigmoid(quantized.graph).replace_all()
    del quantized.metadata_props[:]  # onnxruntime's own entry is not JSON
    quantized.metadata_props.extend(content.metadata_props)
    onnx.checker.check_model(quantized)
    return quantized.SerializeToString()


def pool_globally(graph: onnx.GraphProto) -> None:
    """Name the means over h and w what onnxruntime has an integer operation for."""
    for node in graph.node:
        keeps = any(each.name == "keepdims" and each.i == 1 for each in node.attribute)
        if node.op_type == "ReduceMean" and keeps:
            node.op_type = "GlobalAveragePool"
            del node.input[1:], node.attribute[:]


def name_nodes(graph: onnx.GraphProto) -> None:
    """Those that hardswish was split into have no name yet."""
    for index, node in enumerate(graph.node):
        node.name = node.name or f"{node.op_type}_{index}"


def integer_nodes(network: MobileNetV3Cifar, graph: onnx.GraphProto) -> list[str]:
    """The names of the nodes from the first wide bottleneck to the last feature map."""
    convolutions = [i for i, node in enumerate(graph.node) if node.op_type == "Conv"]
    first = convolutions[float_convolutions(network)]
    last = next(i for i, node in enumerate(graph.node) if "feature_map" in node.output)
    return [
        node.name for node in graph.node[first : last + 1] if node.op_type in INTEGER_OPERATIONS
    ]


def float_convolutions(network: MobileNetV3Cifar) -> int:
    """How many convolutions, those of gates included, come before the first integer one."""
    parts: list[nn.Module] = [network.features.stem]  # type: ignore[list-item]
    for block in network.features.blocks:  # type: ignore[union-attr]
        if block.depthwise.out_channels >= WIDE:
            break
        parts.append(block)
    layers = [layer for part in parts for layer in part.modules()]
    return sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in layers)


class IntegerHardsigmoid:
    """Rewrites dequantize -> HardSigmoid -> quantize so that onnxruntime fuses it to an addition.

    The input's zero point stays and its scale is divided by 6; the output's scale is 1/255.
    """

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.makers = {output: node for node in graph.node for output in node.output}
        self.constants = {constant.name: constant for constant in graph.initializer}
        self.half = [
            self.add_constant("half", np.uint8(LEVELS)),
            self.add_constant("half_scale", np.float32(0.5 / LEVELS)),
            self.add_constant("half_zero_point", np.uint8(0)),
        ]

    def replace_all(self) -> None:
        nodes = list(self.graph.node)
        del self.graph.node[:]
        for node in nodes:
            reader = self.makers.get(node.input[0]) if node.op_type == "HardSigmoid" else None
            if reader is not None and reader.op_type == "DequantizeLinear":
                self.graph.node.extend(self.addition(node, reader))
            else:
                self.graph.node.append(node)
        self.remove_unused()

    def addition(self, node: NodeProto, reader: NodeProto) -> list[NodeProto]:
        (output,) = node.output
        x, scale, zero_point = reader.input
        self.raise_lowest(scale, zero_point)
        sixth = self.value(scale) / np.float32(HARDSIGMOID_SLOPE)
        self.set_constant(f"{output}_scale", np.float32(1 / LEVELS))
        self.set_constant(f"{output}_zero_point", np.uint8(0))
        names = [f"{output}_sixth", f"{output}_half"]
        scale = self.add_constant(f"{output}_sixth_scale", sixth)
        return [
            helper.make_node("DequantizeLinear", [x, scale, zero_point], names[:1]),
            helper.make_node("DequantizeLinear", self.half, names[1:]),
            helper.make_node("Add", names, [output], name=f"{node.name}_as_addition"),
        ]

    def raise_lowest(self, scale: str, zero_point: str) -> None:
        """Spend no level on inputs for which the outcome is 0."""
        step, zero = float(self.value(scale)), int(self.value(zero_point))
        lowest, highest = max(-zero * step, LOWEST), (LEVELS - zero) * step
        step = (highest - lowest) / LEVELS
        self.set_constant(scale, np.float32(step))
        self.set_constant(zero_point, np.uint8(round(-lowest / step)))

    def value(self, name: str) -> np.ndarray:
        return numpy_helper.to_array(self.constants[name])

    def add_constant(self, name: str, value: np.generic | np.ndarray) -> str:
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def set_constant(self, name: str, value: np.generic) -> None:
        self.constants[name].CopyFrom(numpy_helper.from_array(np.asarray(value), name))

    def remove_unused(self) -> None:
        """The former dequantizers, whose outputs nothing reads any more."""
        read = {name for node in self.graph.node for name in node.input}
        read |= {output.name for output in self.graph.output}
        nodes = [node for node in self.graph.node if read.intersection(node.output)]
        del self.graph.node[:]
        self.graph.node.extend(nodes)
