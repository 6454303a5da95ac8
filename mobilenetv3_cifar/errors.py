"""The package's own refusals. Each message is one sentence that names what was refused and why."""


class MobileNetV3CifarError(Exception):
    """Base of all of them."""


class ImageError(MobileNetV3CifarError, ValueError):
    """A picture that cannot or must not be opened."""


class VariantError(MobileNetV3CifarError, ValueError):
    """A name that is no shipped variant, no folder and no Hub repository."""


class ModelFolderError(MobileNetV3CifarError, ValueError):
    """A model folder that is incomplete, damaged or not what its config says."""


class HubError(MobileNetV3CifarError):
    """The Hub cannot be reached, or refuses."""
