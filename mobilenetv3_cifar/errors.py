"""The package's own errors, and how a message quotes untrusted text.

Each message is one line that names the refused input and the reason. Text from a file, a name or a
server is escaped and cut to a bounded length, and passwords in URLs are masked.
"""

import re
from collections.abc import Mapping, Sequence

MAX_MESSAGE = 800  # characters; the list of shipped variants takes about 400
MAX_QUOTED = 100
PASSWORD_IN_URL = re.compile(r"(?<=://)[^/?#\s]*@")


class MobileNetV3CifarError(Exception):
    """Base class of all errors of the package."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message, MAX_MESSAGE))


class ImageError(MobileNetV3CifarError, ValueError):
    """An image that cannot or must not be opened.

    If `predict` was given a list, `index` is the image's position in it, and `predictions` are
    the predictions for the images before it.
    """

    index: int | None = None
    predictions: Sequence[Mapping[str, float]] = ()


class ImageTypeError(ImageError, TypeError):
    """An object that is not an image."""


class VariantError(MobileNetV3CifarError, ValueError):
    """A name that is not a shipped variant, a folder or a repository id."""


class ModelFolderError(MobileNetV3CifarError, ValueError):
    """A model folder is incomplete, damaged or does not match its config."""


class HubError(MobileNetV3CifarError):
    """The Hub cannot be reached or refuses a request, or its response is refused."""


def quote(value: object) -> str:
    """The repr of a value, cut to `MAX_QUOTED` characters."""
    return shorten(repr(value), MAX_QUOTED)


def printable(text: str, limit: int = MAX_QUOTED) -> str:
    """Text on one line: control characters escaped, passwords in URLs masked, the middle cut."""
    return shorten(escape(PASSWORD_IN_URL.sub("***@", text)), limit)


def escape(text: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def shorten(text: str, limit: int) -> str:
    half = limit // 2
    return text if len(text) <= limit else f"{text[:half]}...{text[-half:]}"
