"""Change the image in the browser (rotate, zoom, shift, blur, hide) and watch the answer change.

assets/editor.js draws; what arrives here is the changed image as a data URL.
"""

import base64
import binascii

import gradio as gr

from demo import answers
from demo.markup import Map, bars, maps
from demo.parts import ASK, legend, panel
from demo.sample import ASSETS
from demo.text import describe, describe_map, describe_refusal
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
EMPTY = '<div class="answer" aria-live="polite"><p>Choose an image, then change it.</p></div>'


def build(variant: gr.Dropdown, view: gr.Textbox, name: str) -> None:
    """Fill the view of that name, which answers while it is the open one."""
    editor = gr.HTML(
        "",
        html_template=template(),
        js_on_load=(ASSETS / "editor.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_id="editor",
    )
    result = panel(EMPTY, "changed")
    legend()
    gr.on(
        [editor.input, variant.change, view.change],
        lambda opened, *given: ask(*given) if opened == name else gr.skip(),
        [view, editor, variant],
        result,
        **(ASK | {"show_progress": "hidden"}),  # the bars move while a slider does
    )


def template() -> str:
    sliders = "".join(
        f'<label>{label}<input type="range" name="{name}" min="{least}" max="{most}" '
        f'step="{step}" value="{start}"></label>'
        for name, label, least, most, step, start in SLIDERS
    )
    return (
        '<div class="editor"><canvas width="32" height="32" tabindex="0" role="application" '
        'aria-label="The image: drag to hide parts of it, or move with the arrow keys and press '
        f'space"></canvas><div class="sliders">{sliders}'
        '<button type="button" class="reset">Undo all changes</button></div></div>'
        '<p class="hint">Drag over the image to hide a part of it.</p>'
    )


def ask(changed: str | None, variant: str) -> str:
    """The answer for the changed image, its bars always in the same order."""
    if not changed:
        return EMPTY
    try:
        image = open_image(decode(changed))
    except ImageError as error:
        return describe_refusal(error)
    answer = answers.answer(image, variant)
    drawn = Map(answer.heatmaps()[0], "", describe_map(answer))
    return (
        f'{describe(answer)}<div class="beside">{bars(sorted(answer.probabilities.items()))}'
        f"{maps(answer.image, [drawn], f'changed-{answer.label}')}</div>"
    )


def decode(url: str) -> bytes:
    """The bytes of a base64 data URL.

    Raises:
        ImageError: it is not one.
    """
    try:
        return base64.b64decode(url.partition(";base64,")[2], validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError("the changed image is not a data URL") from error
