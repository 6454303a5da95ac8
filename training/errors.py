"""The errors of the training commands; each message says in one sentence what failed and why."""

from mobilenetv3_cifar import MobileNetV3CifarError


class DataError(MobileNetV3CifarError):
    """CIFAR-10 is missing, damaged or cannot be fetched."""


class CheckpointError(MobileNetV3CifarError):
    """A run has no usable checkpoint; the message names the file and the cause."""


class TrainingError(MobileNetV3CifarError):
    """A run cannot start or continue; the message says why and what is kept."""


class DeviceError(MobileNetV3CifarError):
    """The requested device or launch option is not available."""


class ResultsError(MobileNetV3CifarError):
    """A file of results is missing or wrong; the message names the file and the key."""
