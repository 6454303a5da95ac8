"""The second tab: one picture through every shipped network, so that they are seen to differ."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import gradio as gr
from PIL import Image

from demo import answers
from demo.answers import Answer
from demo.parts import NETWORK, picture_input
from demo.safe_image import Opened
from demo.words import describe_refusal, percent

INTRODUCTION = (
    "The same picture, every network. Some learned too little, some learned their own pictures by "
    "heart: do they agree, and do they look at the same place?"
)
OPACITY = 0.5


def build() -> None:
    gr.Markdown(INTRODUCTION)
    with gr.Row():
        with gr.Column(scale=1):
            picture = picture_input("compare-picture")
        with gr.Column(scale=2):
            summary = gr.Markdown(elem_id="compare-summary", elem_classes="answer")
            gallery = gr.Gallery(
                label="What each network answers, and where it looked",
                show_label=False,
                columns=3,
                fit_columns=False,
                object_fit="contain",
                height="auto",
                format="jpeg",
                interactive=False,
                buttons=["download", "fullscreen"],
                elem_id="compare-answers",
                elem_classes="captions",
            )
    picture.change(
        ask_all,
        picture,
        [summary, gallery],
        show_progress="minimal",
        trigger_mode="always_last",
        concurrency_id=NETWORK,
        api_visibility="private",
    )


def ask_all(picture: Opened) -> Iterator[tuple[str, Any]]:
    """Show each network's answer as soon as it is there."""
    if not isinstance(picture, Image.Image):
        yield describe_refusal(picture) if picture else "", None
        return
    found, items = [], []
    for one in answers.compare(picture):
        found.append(one)
        items.append((one.map_over_picture(OPACITY), caption(one)))
        yield summarize(found), items


def caption(found: Answer) -> str:
    sure = percent(found.probabilities[found.label])
    hints = {"perhaps none of them": found.unsure, "blank map": found.explanation.blank}
    said = ", ".join(
        [found.label, f"{sure} sure", *(hint for hint, holds in hints.items() if holds)]
    )
    return f"{said}: {found.variant}"


def summarize(found: list[Answer]) -> str:
    votes = Counter(one.label for one in found).most_common()
    return "### " + " · ".join(f"**{label}** {count} of {len(found)}" for label, count in votes)
