"""An image input that opens what strangers send with our own `open_image`, never with gradio's."""

from abc import ABCMeta
from typing import Any

import gradio as gr
from gradio.component_meta import ComponentMeta
from gradio.data_classes import ImageData
from PIL import Image

from mobilenetv3_cifar.errors import ImageError
from mobilenetv3_cifar.images import open_image


class WithoutStub(ComponentMeta):
    """Gradio's own metaclass writes a .pyi file beside the source of every component's class."""

    def __new__(mcs, name: str, bases: tuple[type, ...], attributes: dict[str, Any]) -> type:
        return ABCMeta.__new__(mcs, name, bases, attributes)


class SafeImage(gr.Image, metaclass=WithoutStub):
    """Gives its function a PIL picture, RGB and upright, or shows the visitor why it cannot."""

    is_template = True  # to the browser it is gradio's own image input

    def preprocess(self, payload: ImageData | None) -> Image.Image | None:
        if payload is None or payload.path is None:
            return None
        try:
            return open_image(payload.path)
        except ImageError as error:
            raise refusal(str(error)) from error


def picture_input(elem_id: str) -> SafeImage:
    """Where a visitor puts a picture: a file, the clipboard or the camera."""
    return SafeImage(
        label="Your picture",
        sources=["upload", "clipboard", "webcam"],
        height=300,
        elem_id=elem_id,
        elem_classes="large",
    )


def refusal(sentence: str) -> gr.Error:
    """A message that stays until the visitor closes it, and leaves no traceback in the log."""
    shown = sentence[0].upper() + sentence[1:]
    return gr.Error(shown, duration=None, title="That did not work", print_exception=False)
