"""The package's own errors, and how a message quotes untrusted text.

Each message is one line that names what was refused and why. Text that came from a file, a name or
a server is escaped, cut to a bounded length, and stripped of passwords in URLs.
"""

import re
from collections.abc import Mapping, Sequence

MAX_MESSAGE = 800  # characters; the list of shipped variants takes about 400
MAX_QUOTED = 100
PASSWORD_IN_URL = re.compile(r"(?<=://)[^/?#\s]*@")


class MobileNetV3CifarError(Exception):
    """Base of all of them."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message, MAX_MESSAGE))


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
    """A name that is not a shipped variant, a folder or a repository id."""


class ModelFolderError(MobileNetV3CifarError, ValueError):
    """A model folder that is incomplete, damaged or not what its config says."""


class HubError(MobileNetV3CifarError):
    """The Hub cannot be reached, or refuses."""


def quote(value: object) -> str:
    """The repr of a value of any size, cut to `MAX_QUOTED` characters."""
    return shorten(repr(value), MAX_QUOTED)


def printable(text: str, limit: int = MAX_QUOTED) -> str:
    """Text on one line: control characters escaped, passwords in URLs masked, the middle cut."""
    return shorten(escape(PASSWORD_IN_URL.sub("***@", text)), limit)


def escape(text: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def shorten(text: str, limit: int) -> str:
    half = limit // 2
    return text if len(text) <= limit else f"{text[:half]}...{text[-half:]}"
