"""An image input that opens the pixels decoded from an upload, never the upload itself."""

from abc import ABCMeta
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.component_meta import ComponentMeta
from gradio.data_classes import ImageData
from PIL import Image

from demo.serving.decoder import open_kept
from demo.serving.folder import GONE
from mobilenetv3_cifar.errors import ImageError

Opened = Image.Image | ImageError | None


class WithoutStub(ComponentMeta):
    """Avoids gradio's metaclass, which would write a .pyi file beside this file."""

    def __new__(mcs, name: str, bases: tuple[type, ...], attributes: dict[str, Any]) -> type:
        return ABCMeta.__new__(mcs, name, bases, attributes)


class SafeImage(gr.Image, metaclass=WithoutStub):
    """Passes an upright RGB image to the event's function, or an ImageError that says why not.

    The error is passed, not raised: raised, it would show a red "Error" over the whole page.
    """

    is_template = True  # so that the browser uses gradio's own image input

    def preprocess(self, payload: ImageData | None) -> Opened:  # type: ignore[override]
        if payload is None or payload.path is None:
            return None
        try:
            return open_kept(Path(payload.path))
        except FileNotFoundError:
            return ImageError(GONE)
        except ImageError as error:
            return error
