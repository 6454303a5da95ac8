"""Export a network as an ONNX file. This module needs the package's "export" extra."""

import os
from pathlib import Path

import numpy as np
import onnx
import torch
from PIL import Image

from mobilenetv3_cifar.config import digest
from mobilenetv3_cifar.errors import MobileNetV3CifarError
from mobilenetv3_cifar.files import replace_files
from mobilenetv3_cifar.folder import encode_weights
from mobilenetv3_cifar.int8 import quantize
from mobilenetv3_cifar.model import MobileNetV3Cifar, evaluation_copy
from mobilenetv3_cifar.onnx_metadata import metadata
from mobilenetv3_cifar.preprocessing import NATIVE_SIZE, to_input, to_square
from mobilenetv3_cifar.runtime import open_session, run_onnx
from mobilenetv3_cifar.trace import trace

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
        int8_images: a few hundred training images, uint8 (N, 32, 32, 3). If given, most weights and
            activations become 8-bit integers. The activations' ranges are measured on these images.

    Returns:
        The largest absolute difference between the file's and the network's logits on four random
        images, divided by the network's largest absolute logit if this logit is above 1.

    Raises:
        ExportError: the file cannot be written, or `int8_images` is None and the returned
            difference would be above 1e-4.
        ValueError: `int8_images` has another type or shape.
    """
    target = Path(path)
    special = target.exists() and not target.is_file()
    if special or not target.parent.is_dir():  # check this first: an export takes a minute
        reason = "not a regular file" if special else f"{target.parent} is not a folder"
        raise ExportError(f"{path} cannot be written: {reason}")
    if int8_images is not None and not is_native(int8_images):
        raise ValueError("int8_images must be uint8 of shape (N, 32, 32, 3), with N of at least 1")
    # The caller may use autocast or another default device or dtype.
    with torch.device("cpu"), torch.autocast("cpu", enabled=False):
        return export(model, target, int8_images)


def is_native(images: np.ndarray) -> bool:
    shape = (NATIVE_SIZE, NATIVE_SIZE, 3)
    is_uint8 = isinstance(images, np.ndarray) and images.dtype == np.uint8
    return is_uint8 and images.shape[1:] == shape and len(images) > 0


def export(model: MobileNetV3Cifar, target: Path, int8_images: np.ndarray | None) -> float:
    # torch.compile adds a prefix to the names of the weights, and so would change their SHA-256.
    network = evaluation_copy(getattr(model, "_orig_mod", model)).float().cpu()
    if int8_images is None:
        proto = trace(network)
    else:
        proto = quantize(evaluation_copy(network), int8_images)
    weights_sha256 = digest(encode_weights(network.state_dict()))
    onnx.helper.set_model_props(proto, metadata(network.config, weights_sha256))
    onnx.checker.check_model(proto)
    content = proto.SerializeToString()
    difference = compare(network, content)
    if int8_images is None and difference > TOLERANCE:
        raise ExportError(f"{target} is not written: its logits would differ by {difference:.2g}")
    try:
        replace_files(target.parent, {target.name: content})
    except OSError as error:
        raise ExportError(f"{target} cannot be written: {error.strerror}") from error
    return difference


def compare(network: MobileNetV3Cifar, content: bytes) -> float:
    """Compute what `export_onnx` returns, with a batch of one image and a batch of three images."""
    noise = np.random.default_rng(0).integers(0, 256, (4, NATIVE_SIZE, NATIVE_SIZE, 3), np.uint8)
    config = network.config
    squares = [to_square(Image.fromarray(image), config.image_size) for image in noise]
    with torch.inference_mode():
        expected = network(to_input(squares, config.mean, config.std)).numpy()
    session = open_session(content)
    logits = [run_onnx(session, part)["logits"] for part in (noise[:1], noise[1:])]
    difference = np.abs(np.concatenate(logits) - expected).max()
    return float(difference / max(1.0, np.abs(expected).max()))
