"""The metadata of an exported ONNX file, which tells programs in any language how to use the file.

Each value is JSON. The values in `DESCRIPTION` are the same for all networks. The other values are
the config's settings and the SHA-256 of the weights file.
"""

import json
from typing import Any

from mobilenetv3_cifar.config import Config
from mobilenetv3_cifar.preprocessing import NATIVE_SIZE

PREDICTED = -1  # a target with this value means the predicted class
FORMAT = 2  # version of inputs, outputs and metadata; the input of version 1 was a normalised image
DESCRIPTION: dict[str, Any] = {
    "format": FORMAT,
    "inputs": {
        "images": {"type": "uint8", "shape": ["N", NATIVE_SIZE, NATIVE_SIZE, 3], "layout": "NHWC"},
        "target": {"type": "int32", "shape": ["N"]},
    },
    "outputs": {
        "probabilities": "(N, C): softmax of logits / temperature, in the order of labels",
        "logits": "(N, C)",
        "ood_score": "(N): if below ood_threshold, the image probably shows none of the classes",
        "activation_map": "(N, S, S): Grad-CAM of the target, from 0 to 1; S is image_size",
        "features": "(N, K): feature_map, averaged over h and w",
        "feature_map": "(N, K, h, w): the last feature map, with K channels",
        "gradient": "(N, K): gradient of the target's logit with respect to features",
    },
    "preprocessing": (
        "images are RGB, 32x32 pixels, with values from 0 to 255. target is the index of the class "
        "to explain in activation_map; a negative target means the predicted class. The network "
        "enlarges images to image_size (bilinear), divides by 255, subtracts mean and divides by "
        "std. First resize other images to 32x32 with Pillow's BILINEAR, or with another bilinear "
        "filter that has antialiasing and rounds to uint8."
    ),
    "interpolation": "bilinear",
    "native_size": NATIVE_SIZE,
    "ood_formulas": {
        "confidence": "the highest probability",
        "energy": "log(sum(exp(logits)))",
        "linear": "sum(features * ood_weights)",
    },
}


def metadata(config: Config, weights_sha256: str) -> dict[str, str]:
    """Return the metadata of an exported ONNX file as {name: JSON}."""
    values = DESCRIPTION | config.to_dict() | {"weights_sha256": weights_sha256}
    return {name: json.dumps(value) for name, value in values.items()}


def encoded_settings(config: Config, weights_sha256: str) -> list[bytes]:
    """Return the bytes of each setting's name and JSON value in an ONNX file (protobuf)."""
    return [
        name.encode() + b"\x12" + varint(len(value.encode())) + value.encode()
        for name, value in metadata(config, weights_sha256).items()
        if name not in DESCRIPTION
    ]


def varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([128 + number % 128]) + varint(number // 128)
