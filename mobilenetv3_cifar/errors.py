"""The package's own refusals. Each message is one sentence that names what was refused and why."""

from collections.abc import Mapping, Sequence


class MobileNetV3CifarError(Exception):
    """Base of all of them."""


class ImageError(MobileNetV3CifarError, ValueError):
    """An image that cannot or must not be opened.

    When it is one of a list given to `predict`, `index` is its position in the list and
    `predictions` are those of the images before it.
    """

    index: int | None = None
    predictions: Sequence[Mapping[str, float]] = ()


class ImageTypeError(ImageError, TypeError):
    """An object that is not an image."""


class VariantError(MobileNetV3CifarError, ValueError):
    """A name that is no shipped variant, no folder and no Hub repository."""


class ModelFolderError(MobileNetV3CifarError, ValueError):
    """A model folder that is incomplete, damaged or not what its config says."""


class HubError(MobileNetV3CifarError):
    """The Hub cannot be reached, or refuses."""
