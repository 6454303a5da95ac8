"""The metadata of an exported ONNX file, which tells a program in any language how to use it.

Each value is JSON. Those in `DESCRIPTION` are the same for all networks. The others are the
config's settings and the SHA-256 of the weights file.
"""

import dataclasses
import json
from typing import Any

from mobilenetv3_cifar.config import Config
from mobilenetv3_cifar.preprocessing import NATIVE_SIZE

PREDICTED = -1  # a target with this value means the predicted class
FORMAT = 2  # version of inputs, outputs and metadata; version 1 took a normalised `image`
DESCRIPTION: dict[str, Any] = {
    "format": FORMAT,
    "inputs": {
        "images": {"type": "uint8", "shape": ["N", NATIVE_SIZE, NATIVE_SIZE, 3], "layout": "NHWC"},
        "target": {"type": "int32", "shape": ["N"]},
    },
    "outputs": {
        "probabilities": "(N, C): softmax of logits / temperature; columns as in labels",
        "logits": "(N, C)",
        "ood_score": "(N): below ood_threshold, the image probably shows none of the classes",
        "activation_map": "(N, S, S), 0 to 1: Grad-CAM of the target; S = image_size",
        "features": "(N, K): feature_map averaged over h and w",
        "feature_map": "(N, K, h, w): the last one",
        "gradient": "(N, K): of the target's logit with respect to features",
    },
    "preprocessing": (
        "The file takes RGB images of 32x32 pixels, 0 to 255, and the index of the class that "
        "activation_map is for (negative: the predicted class). It enlarges images to image_size "
        "(bilinear), divides by 255, subtracts mean and divides by std. Reduce larger images to "
        "32x32 with an antialiasing bilinear filter, with rounding to uint8: Pillow's BILINEAR."
    ),
    "interpolation": "bilinear",
    "native_size": NATIVE_SIZE,
    "ood_formulas": {
        "confidence": "the largest probability",
        "energy": "log(sum(exp(logits)))",
    },
}


def metadata(config: Config, weights_sha256: str) -> dict[str, str]:
    """Return the metadata of an exported ONNX file as {name: JSON}."""
    values = DESCRIPTION | dataclasses.asdict(config) | {"weights_sha256": weights_sha256}
    return {name: json.dumps(value) for name, value in values.items()}


def encoded_settings(config: Config, weights_sha256: str) -> list[bytes]:
    """Return the bytes of each setting as encoded in an ONNX file, which is a protobuf message."""
    return [
        name.encode() + b"\x12" + varint(len(value.encode())) + value.encode()
        for name, value in metadata(config, weights_sha256).items()
        if name not in DESCRIPTION
    ]


def varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([128 + number % 128]) + varint(number // 128)
