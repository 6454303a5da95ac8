"""Define the package's errors, and functions that quote untrusted text in error messages."""

import re
from collections.abc import Mapping, Sequence

MAX_MESSAGE = 800  # characters; the list of shipped variants takes about 300
MAX_QUOTED = 100
PASSWORD_IN_URL = re.compile(r"(?<=://)[^/?#\s]*@")


class MobileNetV3CifarError(Exception):
    """Base class of the package's errors. The message is one line; passwords in URLs are masked."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message, MAX_MESSAGE))


class ImageError(MobileNetV3CifarError, ValueError):
    """Raised when an image cannot be opened or written, or exceeds a limit.

    If `predict` or `extract_features` was given a list, `index` is the image's position in the
    list. `predict` also sets `predictions`: the predictions for the images before that position.
    """

    index: int | None = None
    predictions: Sequence[Mapping[str, float]] = ()


class ImageTypeError(ImageError, TypeError):
    """Raised when something passed as an image has an unsupported type, dtype or shape."""


class VariantError(MobileNetV3CifarError, ValueError):
    """Raised when a variant is incomplete, or a name is not a variant, folder or repository id."""


class ModelFolderError(MobileNetV3CifarError, ValueError):
    """Raised when a model folder is incomplete or invalid, or cannot be written."""


class HubError(MobileNetV3CifarError):
    """Raised when a request to the Hub is not valid or fails, or when the response is refused."""


def quote(value: object) -> str:
    """Return the repr of `value`, shortened to about `MAX_QUOTED` characters."""
    return shorten(repr(value), MAX_QUOTED)


def printable(text: str, limit: int = MAX_QUOTED) -> str:
    """Mask URL passwords, escape unprintable characters, and keep about `limit` characters."""
    return shorten(escape(PASSWORD_IN_URL.sub("***@", text)), limit)


def escape(text: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def shorten(text: str, limit: int) -> str:
    half = limit // 2
    return text if len(text) <= limit else f"{text[:half]}...{text[-half:]}"
