"""Pieces that several tabs are made of."""

import gradio as gr

from demo.safe_image import SafeImage
from demo.sample import example_files
from demo.words import choices_of_variants
from mobilenetv3_cifar.variants import get_variant

NETWORK = "network"  # the queue of all that runs a network, so that visitors take turns


def picture_input(elem_id: str) -> SafeImage:
    """Where a visitor puts a picture: a file, the clipboard, the camera or one of the examples."""
    picture = SafeImage(
        label="Your picture",
        sources=["upload", "clipboard", "webcam"],
        height=300,
        elem_id=elem_id,
        elem_classes="large",
    )
    files = [str(file) for file in example_files()]
    examples = gr.Examples(files, picture, label="Or try one of these")
    examples.dataset.elem_classes = ["examples"]
    return picture


def variant_input(label: str, elem_id: str) -> gr.Dropdown:
    return gr.Dropdown(
        choices_of_variants(),
        value=get_variant().name,
        label=label,
        info="How often it is right on 15,000 pictures it never saw, and its file's size",
        min_width=220,
        elem_id=elem_id,
    )


def answer_output(elem_id: str, text: str = "") -> tuple[gr.Markdown, gr.Label]:
    """The sentence that says what a network answers, and the likeliest classes as bars."""
    sentence = gr.Markdown(text, elem_id=f"{elem_id}-sentence", elem_classes="answer")
    label = gr.Label(label="What it answers", show_heading=False, elem_id=f"{elem_id}-label")
    return sentence, label


def map_output(elem_id: str) -> gr.Image:
    return gr.Image(
        label="Where it looked",
        format="jpeg",
        height=280,
        min_width=200,
        interactive=False,
        buttons=["download", "fullscreen"],
        elem_id=elem_id,
        elem_classes="large",
    )
