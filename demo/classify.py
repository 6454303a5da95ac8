"""The first tab: one picture, one network, its answer, and where in the picture it looked."""

from typing import Any

import gradio as gr
from PIL import Image

from demo.answers import PREDICTED, Answer, answer, layer_names
from demo.safe_image import Opened, picture_input
from demo.sample import example_files
from demo.words import METHODS, choices_of_variants, describe, describe_map, describe_refusal
from mobilenetv3_cifar.explanation import Method
from mobilenetv3_cifar.preprocessing import LABELS
from mobilenetv3_cifar.variants import get_variant

NETWORK = "network"  # the queue of all that runs a network, so that visitors take turns
DETAILS = [("7 x 7", 0), ("14 x 14", 1), ("28 x 28", 2), ("56 x 56", 3)]  # fields of the map


def build() -> None:
    last = gr.State()  # the visitor's last Answer: showing it in another way asks no network
    with gr.Row():
        with gr.Column():
            picture = picture_input("picture")
            examples = gr.Examples(
                [str(file) for file in example_files()],
                picture,
                label="Or try one of these",
                elem_id="examples",
            )
            examples.dataset.elem_classes = ["examples"]
            variant = gr.Dropdown(
                choices_of_variants(),
                value=get_variant().name,
                label="Network",
                info="How often it is right on 15,000 pictures it never saw, and its file's size",
                elem_id="variant",
            )
        with gr.Column():
            sentence = gr.Markdown(elem_id="sentence", elem_classes="answer")
            label = gr.Label(label="What it answers", show_heading=False, elem_id="answer")
            with gr.Row():
                overlay = gr.Image(
                    label="Where it looked",
                    format="jpeg",
                    height=280,
                    min_width=200,
                    interactive=False,
                    buttons=["download", "fullscreen"],
                    elem_id="overlay",
                    elem_classes="large",
                )
                seen = gr.Image(
                    label="What the network gets",
                    alt_text="The picture, made as coarse as those that the network learned from",
                    format="png",
                    height=280,
                    min_width=200,
                    interactive=False,
                    buttons=[],
                    elem_id="seen",
                    elem_classes="large",
                )
            opacity = gr.Slider(
                0, 1, 0.5, step=0.05, label="Strength of the colours", elem_id="opacity"
            )
    with gr.Accordion("More ways to look", open=False, elem_id="more"), gr.Row():
        with gr.Column():
            target = gr.Dropdown(
                [("what the network answers", PREDICTED), *LABELS],
                value=PREDICTED,
                label="Show what speaks for",
                elem_id="target",
            )
            method = gr.Dropdown(METHODS, value="gradcam", label="Kind of map", elem_id="method")
        with gr.Column():
            detail = gr.Radio(
                DETAILS,
                value=0,
                label="Fields of the map",
                info="More fields show finer things, and mean less",
                elem_id="detail",
            )
            count = gr.Slider(1, 10, 3, step=1, label="Answers to show", elem_id="count")
    questions: list[gr.Image | gr.Dropdown | gr.Radio] = [picture, variant, method, target, detail]
    gr.on(
        [question.change for question in questions],
        ask,
        [*questions, opacity, count],
        [last, sentence, label, overlay, seen],
        show_progress="minimal",
        trigger_mode="always_last",
        concurrency_id=NETWORK,
        api_visibility="private",
    )
    gr.on(
        [opacity.change, count.change],
        show,
        [last, opacity, count],
        [label, overlay],
        show_progress="hidden",
        trigger_mode="always_last",
        concurrency_limit=None,
        api_visibility="private",
    )


def ask(
    picture: Opened,
    variant: str,
    method: Method,
    target: str,
    detail: int,
    opacity: float,
    count: int,
) -> tuple[Any, ...]:
    """Ask the network: the answer itself, then its sentence, labels, map and input."""
    if not isinstance(picture, Image.Image):
        return None, describe_refusal(picture) if picture else "", None, None, None
    found = answer(picture, variant, method, target, layer_names(variant)[detail])
    return found, describe(found), *show(found, opacity, count), found.seen


def show(found: Answer | None, opacity: float, count: int) -> tuple[Any, Any]:
    """The labels and the map of an answer that is there already."""
    if found is None:
        return gr.skip(), gr.skip()
    shown = gr.Image(found.map_over_picture(opacity), alt_text=describe_map(found))
    return found.top(count), shown
