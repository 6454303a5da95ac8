"""The network as an ONNX file, in float32 or 8-bit integers, for any runtime that reads ONNX.

The file takes `image`, float32 (N, 3, S, S) as `preprocess` gives it, and gives `logits`, (N, C).
What else a runtime needs is in its metadata, as JSON: labels, mean, std, image_size, temperature
ood_score and ood_threshold. Needs the extra "export".
"""

import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image

from mobilenetv3_cifar.config import Config
from mobilenetv3_cifar.errors import MobileNetV3CifarError
from mobilenetv3_cifar.files import replace_files
from mobilenetv3_cifar.model import MobileNetV3Cifar
from mobilenetv3_cifar.prediction import batches, evaluation_copy
from mobilenetv3_cifar.preprocessing import to_input, to_square

TOLERANCE = 1e-4  # between the logits of the file and of the network


class ExportError(MobileNetV3CifarError):
    """The file cannot be written, or does not compute what the network computes."""


def export_onnx(
    model: MobileNetV3Cifar, path: str | os.PathLike[str], int8_images: np.ndarray | None = None
) -> float:
    """Write the network to `path`; the file appears whole or not at all.

    Args:
        model: left as it is found.
        path: where the ONNX file goes; its folder must be there.
        int8_images: uint8 (N, H, W, 3), some hundred training pictures. With them weights and
            activations become 8-bit integers, scaled by the range that each has on these pictures.

    Returns:
        The largest difference between a logit of the file and of the network, over noise in batches
        of one and of three.

    Raises:
        ExportError: the file cannot be written; in float32, a logit differs by more than 1e-4.
    """
    target = Path(path)
    if not target.parent.is_dir():  # before the work of a minute
        raise ExportError(f"{path} cannot be written: there is no folder {target.parent}")
    network = evaluation_copy(model).float().cpu()
    content = trace(network)
    if int8_images is not None:
        content = quantize(content, int8_images, network.config)
    difference = compare(network, content)
    if int8_images is None and difference > TOLERANCE:
        raise ExportError(f"{path} is not written: its logits would differ by {difference:.2g}")
    try:
        replace_files(target.parent, {target.name: content})
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error.strerror}") from error
    return difference


def trace(network: MobileNetV3Cifar) -> bytes:
    size = network.config.image_size
    program = torch.onnx.export(
        network,
        (torch.zeros(2, 3, size, size),),  # two: a batch of one would be taken for a constant
        input_names=["image"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        dynamo=True,
        verbose=False,
    )
    assert program is not None  # it is with dynamo=True
    proto = program.model_proto
    facts = {
        "labels": network.config.labels,
        "mean": network.config.mean,
        "std": network.config.std,
        "image_size": size,
        "temperature": network.config.temperature,
        "ood_score": network.config.ood_score,
        "ood_threshold": network.config.ood_threshold,
    }
    onnx.helper.set_model_props(proto, {name: json.dumps(value) for name, value in facts.items()})
    onnx.checker.check_model(proto)
    return proto.SerializeToString()


class Calibration(CalibrationDataReader):
    """Hands pictures to onnxruntime, as it asks for them."""

    def __init__(self, images: np.ndarray, config: Config) -> None:
        self.inputs = self.prepare(images, config)

    def prepare(self, images: np.ndarray, config: Config) -> Iterator[dict[str, np.ndarray]]:
        for batch in batches(images, 16):
            squares = [to_square(Image.fromarray(image), config.image_size) for image in batch]
            yield {"image": to_input(squares, config.mean, config.std).numpy()}

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.inputs, None)


def quantize(content: bytes, images: np.ndarray, config: Config) -> bytes:
    """Float32 ONNX -> ONNX whose convolutions and matrix products run on 8-bit integers.

    Only those: with 8-bit activation functions between them onnxruntime fuses few convolutions, and
    is half as fast. A moving average of each activation's range lost less than the whole range.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "float.onnx").write_bytes(content)
        quant_pre_process(folder / "float.onnx", folder / "ready.onnx")
        quantize_static(
            folder / "ready.onnx",
            folder / "int8.onnx",
            Calibration(images, config),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Gemm", "MatMul"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
            extra_options={"CalibMovingAverage": True},
        )
        return (folder / "int8.onnx").read_bytes()


def compare(network: MobileNetV3Cifar, content: bytes) -> float:
    size = network.config.image_size
    generator = torch.Generator().manual_seed(0)
    noise = [torch.randn(count, 3, size, size, generator=generator) for count in (1, 3)]
    with torch.inference_mode():
        expected = torch.cat([network(inputs) for inputs in noise]).numpy()
    return float(np.abs(run_onnx(content, [part.numpy() for part in noise]) - expected).max())


def run_onnx(content: bytes, inputs: Iterable[np.ndarray]) -> np.ndarray:
    """The logits (N, C) that an exported file gives for batches of float32 (n, 3, S, S)."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(["logits"], {"image": batch})[0] for batch in inputs])
