"""Change the image in the browser: rotate, zoom, shift, blur, hide a part with a brush.

assets/editor.js draws; what arrives here is the changed image as a data URL.
"""

import base64
import binascii

import gradio as gr
from PIL import Image

from demo.sample import ASSETS
from mobilenetv3_cifar.errors import ImageError
from mobilenetv3_cifar.images import open_image

SLIDERS = (  # name, label, least, most, step, start
    ("rotate", "Rotate", -180, 180, 1, 0),
    ("zoom", "Zoom", 0.5, 4, 0.05, 1),
    ("across", "Shift across", -0.5, 0.5, 0.01, 0),
    ("down", "Shift down", -0.5, 0.5, 0.01, 0),
    ("blur", "Blur", 0, 1, 0.02, 0),
    ("brush", "Brush", 0.05, 0.4, 0.01, 0.15),
)


def build() -> gr.HTML:
    sliders = "".join(
        f'<label>{label}<input type="range" name="{name}" min="{least}" max="{most}" '
        f'step="{step}" value="{start}"></label>'
        for name, label, least, most, step, start in SLIDERS
    )
    return gr.HTML(
        "",
        html_template='<div class="editor"><canvas width="32" height="32" tabindex="0" '
        'role="application" aria-label="The image: drag to hide parts of it, or move with the '
        f'arrow keys and press space"></canvas><div class="sliders">{sliders}'
        '<button type="button" class="reset">Undo all changes</button></div></div>'
        "<p>Drag over the image to hide a part of it.</p>",
        js_on_load=(ASSETS / "editor.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_id="editor",
    )


def decode(url: str) -> Image.Image:
    """The image of a base64 data URL.

    Raises:
        ImageError: it is not one, or not of an image.
    """
    try:
        data = base64.b64decode(url.partition(";base64,")[2], validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError("the changed image is not a data URL") from error
    return open_image(data)
