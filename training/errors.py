"""Define the errors of the training commands. Each message says what failed and why."""

from mobilenetv3_cifar import MobileNetV3CifarError


class DataError(MobileNetV3CifarError):
    """CIFAR-10 or a dataset split cannot be used, for example if a file is missing or damaged."""


class TrainingError(MobileNetV3CifarError):
    """A run cannot start or continue, for example because of its device, options or checkpoints."""


class ResultsError(MobileNetV3CifarError):
    """A results file is missing or invalid. The message names the file and any invalid key."""
