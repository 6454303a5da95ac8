"""The first tab: one picture, one network, its answer, and where in the picture it looked."""

from typing import Any

import gradio as gr
from PIL import Image

from demo.answers import PREDICTED, Answer, answer, layer_names, part_of
from demo.parts import NETWORK, answer_output, map_output, picture_input, variant_input
from demo.safe_image import Opened
from demo.words import METHODS, describe, describe_map, describe_refusal
from mobilenetv3_cifar.explanation import Method
from mobilenetv3_cifar.preprocessing import LABELS

CLICKED = 0.5  # of the shorter side: the part that a first click chooses
DETAILS = [("7 x 7", 0), ("14 x 14", 1), ("28 x 28", 2), ("56 x 56", 3)]  # fields of the map
QUICK: dict[str, Any] = {  # events that ask no network
    "show_progress": "hidden",
    "trigger_mode": "always_last",
    "concurrency_limit": None,
    "api_visibility": "private",
}


def build() -> None:
    last = gr.State()  # the visitor's last Answer: showing it in another way asks no network
    spot = gr.State()  # (x, y) in pixels of the picture, where the visitor clicked
    with gr.Row():
        with gr.Column():
            picture = picture_input("picture")
            share = gr.Slider(
                0.1,
                1,
                1,
                step=0.05,
                label="How much of it to look at",
                info="1 is all; less is the middle, or where you click the picture",
                elem_id="share",
            )
            variant = variant_input("Network", "variant")
        with gr.Column():
            sentence, label = answer_output("answer")
            with gr.Row():
                overlay = map_output("overlay")
                seen = build_seen()
            opacity = gr.Slider(
                0, 1, 0.5, step=0.05, label="Strength of the colours", elem_id="opacity"
            )
    with gr.Accordion("More ways to look", open=False, elem_id="more"), gr.Row():
        target, method, detail, count = build_settings()

    picture.change(lambda: (1, None), None, [share, spot], **QUICK)
    picture.select(look_closer, share, [share, spot], **QUICK)
    questions: list[Any] = [picture, share, spot, variant, method, target, detail]
    asked = gr.on(
        [question.change for question in questions],
        ask,
        questions,
        [last, sentence, seen],
        show_progress="minimal",
        trigger_mode="always_last",
        concurrency_id=NETWORK,
        api_visibility="private",
    )
    asked.then(show, [last, opacity, count], [label, overlay], **QUICK)
    for setting in (opacity, count):
        setting.change(show_again, [last, opacity, count], [label, overlay], **QUICK)


def build_seen() -> gr.Image:
    return gr.Image(
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


def build_settings() -> tuple[gr.Dropdown, gr.Dropdown, gr.Radio, gr.Slider]:
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
    return target, method, detail, count


def look_closer(event: gr.SelectData, share: float) -> tuple[float, tuple[int, int]]:
    """A click on the picture: the part around it, of the size chosen before."""
    return (share if share < 1 else CLICKED), tuple(event.index)


def ask(
    picture: Opened,
    share: float,
    spot: tuple[int, int] | None,
    variant: str,
    method: Method,
    target: str,
    detail: int,
) -> tuple[Answer | None, str, Image.Image | None]:
    """Ask the network: the answer, its sentence, and what the network got."""
    if not isinstance(picture, Image.Image):
        return None, describe_refusal(picture) if picture else "", None
    part = part_of(picture, share, spot)
    found = answer(part, variant, method, target, layer_names(variant)[detail])
    return found, describe(found), found.seen


def show(found: Answer | None, opacity: float, count: int) -> tuple[Any, Any]:
    """The labels and the map of an answer that is there already."""
    if found is None:
        return None, None
    overlay = gr.Image(found.map_over_picture(opacity), alt_text=describe_map(found))
    return found.top(count), overlay


def show_again(found: Answer | None, opacity: float, count: int) -> tuple[Any, Any]:
    """The same in another way; an answer that is kept no longer stays on the page as it is."""
    return show(found, opacity, count) if found else (gr.skip(), gr.skip())
