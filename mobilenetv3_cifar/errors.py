"""The package's own errors, and functions that quote untrusted text in error messages.

Each message is one line that names the refused input and the reason. Text from files, arguments
and servers is escaped and shortened, and passwords in URLs are masked.
"""

import re
from collections.abc import Mapping, Sequence

MAX_MESSAGE = 800  # characters; the list of shipped variants takes about 400
MAX_QUOTED = 100
PASSWORD_IN_URL = re.compile(r"(?<=://)[^/?#\s]*@")


class MobileNetV3CifarError(Exception):
    """The base class of the package's errors."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message, MAX_MESSAGE))


class ImageError(MobileNetV3CifarError, ValueError):
    """An image cannot be opened or is refused.

    If `predict` was given a list, `index` is the image's position in the list, and `predictions`
    are the predictions for the images before that position.
    """

    index: int | None = None
    predictions: Sequence[Mapping[str, float]] = ()


class ImageTypeError(ImageError, TypeError):
    """An object was passed as an image but is not an image."""


class VariantError(MobileNetV3CifarError, ValueError):
    """A name matches no variant, folder or repository id, or a shipped variant is incomplete."""


class ModelFolderError(MobileNetV3CifarError, ValueError):
    """A model folder is incomplete or damaged, does not match its config, or cannot be written."""


class HubError(MobileNetV3CifarError):
    """The Hub cannot be reached or refuses a request, or this package refuses the response."""


def quote(value: object) -> str:
    """The repr of a value, shortened to about `MAX_QUOTED` characters."""
    return shorten(repr(value), MAX_QUOTED)


def printable(text: str, limit: int = MAX_QUOTED) -> str:
    """Make text safe to print: mask passwords in URLs, escape unprintable characters, shorten."""
    return shorten(escape(PASSWORD_IN_URL.sub("***@", text)), limit)


def escape(text: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def shorten(text: str, limit: int) -> str:
    half = limit // 2
    return text if len(text) <= limit else f"{text[:half]}...{text[-half:]}"
