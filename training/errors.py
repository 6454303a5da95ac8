"""This module defines the errors of the training commands. A message says what failed and why."""

from mobilenetv3_cifar import MobileNetV3CifarError


class DataError(MobileNetV3CifarError):
    """CIFAR-10 is missing, damaged or cannot be fetched."""


class TrainingError(MobileNetV3CifarError):
    """A run cannot start or continue, for example because of its device, options or checkpoints."""


class ResultsError(MobileNetV3CifarError):
    """A results file is missing or invalid. The message names the file and the invalid key."""
