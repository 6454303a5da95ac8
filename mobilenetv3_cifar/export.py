"""Export a network as one ONNX file that maps uint8 images to probabilities and activation maps.

`onnx_metadata` describes the file's inputs, outputs and metadata. This module needs the package's
extra "export".
"""

import os
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from PIL import Image

from mobilenetv3_cifar.config import digest
from mobilenetv3_cifar.errors import MobileNetV3CifarError
from mobilenetv3_cifar.files import replace_files
from mobilenetv3_cifar.folder import encode_weights
from mobilenetv3_cifar.model import MobileNetV3Cifar, evaluation_copy
from mobilenetv3_cifar.onnx_graph import ExportedNetwork, GraphOutputs
from mobilenetv3_cifar.onnx_metadata import metadata
from mobilenetv3_cifar.preprocessing import NATIVE_SIZE, to_input, to_square
from mobilenetv3_cifar.runtime import open_session, run_onnx

TOLERANCE = 1e-4  # the largest accepted result of `compare`


class ExportError(MobileNetV3CifarError):
    """The file cannot be written, or its logits differ too much from the network's logits."""


def export_onnx(
    model: MobileNetV3Cifar, path: str | os.PathLike[str], int8_images: np.ndarray | None = None
) -> float:
    """Write the network to an ONNX file, atomically.

    Args:
        model: the network; it is not changed.
        path: the ONNX file to write; its folder must exist.
        int8_images: uint8 (N, 32, 32, 3), a few hundred training images. If given, most weights and
            activations become 8-bit integers. The activations' ranges are measured on these images.

    Returns:
        The largest difference between the file's and the network's logits on random images, in
        batches of one and three. It is divided by the largest absolute logit if that is above 1.

    Raises:
        ExportError: the file cannot be written, or `int8_images` is None and the returned
            difference would be above 1e-4.
    """
    target = Path(path)
    if target.is_dir() or not target.parent.is_dir():  # check first, as an export takes a minute
        why = "it is a folder" if target.is_dir() else f"{target.parent} is not a folder"
        raise ExportError(f"{path} cannot be written: {why}")
    network = evaluation_copy(model).float().cpu()
    if int8_images is None:
        proto = trace(network)
    else:
        from mobilenetv3_cifar.int8 import quantize  # this import takes a second

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
            output_names=list(GraphOutputs._fields),
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
    """Return the difference between the file's and the network's logits, as in `export_onnx`."""
    noise = np.random.default_rng(0).integers(0, 256, (4, NATIVE_SIZE, NATIVE_SIZE, 3), np.uint8)
    config = network.config
    squares = [to_square(Image.fromarray(image), config.image_size) for image in noise]
    with torch.inference_mode():
        expected = network(to_input(squares, config.mean, config.std)).numpy()
    session = open_session(content)
    found = [run_onnx(session, part)["logits"] for part in (noise[:1], noise[1:])]
    difference = np.abs(np.concatenate(found) - expected).max()
    return float(difference / max(1.0, np.abs(expected).max()))
