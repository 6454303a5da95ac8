"""Classify images with MobileNetV3 networks that were trained on CIFAR-10.

>>> from mobilenetv3_cifar import MobileNetV3Cifar, list_variants
>>> model = MobileNetV3Cifar.from_pretrained(list_variants()[0].name)
>>> model.predict("cat.png")
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from mobilenetv3_cifar.errors import (
    HubError,
    ImageError,
    MobileNetV3CifarError,
    ModelFolderError,
    VariantError,
)

if TYPE_CHECKING:
    from mobilenetv3_cifar.classifier import Prediction
    from mobilenetv3_cifar.explanation import Explanation, explain, overlay
    from mobilenetv3_cifar.model import MobileNetV3Cifar
    from mobilenetv3_cifar.preprocessing import ImageTransform
    from mobilenetv3_cifar.runtime import OnnxClassifier
    from mobilenetv3_cifar.variants import Variant, list_variants

__all__ = [
    "Explanation",
    "HubError",
    "ImageError",
    "ImageTransform",
    "MobileNetV3Cifar",
    "MobileNetV3CifarError",
    "ModelFolderError",
    "OnnxClassifier",
    "Prediction",
    "Variant",
    "VariantError",
    "explain",
    "list_variants",
    "overlay",
]
# Without these lines, `from mobilenetv3_cifar import *` and `help` would need both packages.
if find_spec("onnxruntime") is None:
    __all__.remove("OnnxClassifier")
if find_spec("torch") is None:
    __all__.remove("MobileNetV3Cifar")
__version__ = "0.1.0"

# {name: module}. A name is imported on first use, because importing numpy and Pillow takes 0.1 s,
# and importing torch takes a second or more.
_MODULES = {
    "Explanation": "explanation",
    "ImageTransform": "preprocessing",
    "MobileNetV3Cifar": "model",
    "OnnxClassifier": "runtime",
    "Prediction": "classifier",
    "Variant": "variants",
    "explain": "explanation",
    "list_variants": "variants",
    "overlay": "explanation",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
