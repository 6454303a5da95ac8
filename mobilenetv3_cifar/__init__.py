"""MobileNetV3 classifiers for CIFAR-10: trained, measured and ready to use.

>>> from mobilenetv3_cifar import MobileNetV3Cifar, list_variants
>>> model = MobileNetV3Cifar.from_pretrained(list_variants()[0].name)
>>> model.predict("cat.png")
"""

from mobilenetv3_cifar.errors import (
    HubError,
    ImageError,
    MobileNetV3CifarError,
    ModelFolderError,
    VariantError,
)
from mobilenetv3_cifar.explanation import Explanation, explain, overlay
from mobilenetv3_cifar.model import MobileNetV3Cifar
from mobilenetv3_cifar.variants import Variant, list_variants

__all__ = [
    "Explanation",
    "HubError",
    "ImageError",
    "MobileNetV3Cifar",
    "MobileNetV3CifarError",
    "ModelFolderError",
    "Variant",
    "VariantError",
    "explain",
    "list_variants",
    "overlay",
]
__version__ = "0.1.0"
