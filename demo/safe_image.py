"""An image input that opens what strangers send with our own `open_image`, never with gradio's."""

import gradio as gr
from gradio.data_classes import ImageData
from PIL import Image

from mobilenetv3_cifar.errors import ImageError
from mobilenetv3_cifar.images import open_image


def safe_image(label: str, elem_id: str, visible: bool = True) -> gr.Image:
    """An input whose function gets a PIL picture, RGB and upright, or None."""
    image = gr.Image(
        label=label,
        sources=["upload", "clipboard", "webcam"],
        height=300,
        visible=visible,
        elem_id=elem_id,
        elem_classes="large",
    )
    # Not in a class of its own: for such a class gradio writes a file beside the source.
    image.preprocess = open_upload  # type: ignore[method-assign]
    return image


def open_upload(payload: ImageData | None) -> Image.Image | None:
    """The picture in a file that gradio has taken from a visitor and put among its own."""
    if payload is None or payload.path is None:
        return None
    try:
        return open_image(payload.path)
    except ImageError as error:
        raise refusal(str(error)) from error


def refusal(sentence: str) -> gr.Error:
    """A message that stays until the visitor closes it, and leaves no traceback in the log."""
    shown = sentence[0].upper() + sentence[1:]
    return gr.Error(shown, duration=None, title="That did not work", print_exception=False)
