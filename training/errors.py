"""Define the errors of the training commands. Each message says what failed and why."""

from mobilenetv3_cifar import MobileNetV3CifarError


class DataError(MobileNetV3CifarError):
    """A dataset or a split of it cannot be used, for example if a file is missing or damaged."""


class TrainingError(MobileNetV3CifarError):
    """A run cannot start, continue or be used, for example because of its device or checkpoints."""


class ResultsError(MobileNetV3CifarError):
    """A results file is missing or invalid. The message names it and the first invalid key."""
