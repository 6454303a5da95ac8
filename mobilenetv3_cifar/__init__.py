"""MobileNetV3 classifiers for CIFAR-10, trained, measured and ready to use."""

from mobilenetv3_cifar.model import MobileNetV3Cifar

__all__ = ["MobileNetV3Cifar"]
__version__ = "0.1.0"
