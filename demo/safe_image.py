"""An image input that uses the decoded pixels of an upload and never opens the uploaded file."""

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import ImageData
from PIL import Image

from demo.serving.decoder import open_kept
from demo.serving.folder import GONE
from mobilenetv3_cifar.errors import ImageError

Opened = Image.Image | ImageError | None


def safe_image(**options: Any) -> gr.Image:
    """A `gr.Image` whose event handlers get the result of `open_sent`."""
    component = gr.Image(**options)
    # Replace the method: if we made a subclass, gradio would write a .pyi file to this folder.
    component.preprocess = open_sent  # type: ignore[method-assign, assignment]
    return component


def open_sent(payload: ImageData | None) -> Opened:
    """Open an upload as an upright RGB image. Without an upload, return None.

    If the image cannot be opened, return an ImageError with the reason. The error is not raised,
    because gradio would then put a red "Error" over the whole page.
    """
    if payload is None or payload.path is None:
        return None
    try:
        return open_kept(Path(payload.path))
    except FileNotFoundError:
        return ImageError(GONE)
    except ImageError as error:
        return error
