"""The fourth tab: 300 real test pictures, what a network makes of them, and what it mixes up."""

from typing import Any

import gradio as gr

from demo.answers import answer, sample_answers
from demo.classify import QUICK
from demo.compare import OPACITY
from demo.experiments import read_metrics
from demo.parts import NETWORK, answer_output, map_output, variant_input
from demo.sample import SamplePicture, sample
from demo.words import describe, describe_map, table
from mobilenetv3_cifar.preprocessing import LABELS
from mobilenetv3_cifar.variants import get_variant

INTRODUCTION = (
    "The first thirty pictures of each kind in the test set. No network learned from them, so here "
    "each shows what it can do. Choose a picture to see why the network answered as it did."
)
CHOOSE = "Choose a picture."
ALL = "all kinds"
RIGHT, WRONG, BOTH = "right", "wrong", "all"
PAIRS = 8  # of kinds that are mixed up, most often first


def build(tab: gr.Tab) -> None:
    """Fill `tab`; the pictures come when it is opened, since sorting them takes seconds."""
    gr.Markdown(INTRODUCTION)
    with gr.Row():
        variant = variant_input("Network", "explorer")
        kind, outcome = build_filters()
    with gr.Row():
        with gr.Column(scale=3):
            count = gr.Markdown(elem_id="found")
            gallery = build_gallery()
        with gr.Column(scale=2):
            sentence, label = answer_output("explored", CHOOSE)
            overlay = map_output("explored-overlay")
    pairs = gr.Markdown(elem_id="pairs", elem_classes=["table", "narrow"])

    filters: list[gr.Dropdown | gr.Radio] = [variant, kind, outcome]
    changes = [each.change for each in filters]
    gr.on(
        [tab.select, *changes],
        choose,
        filters,
        [count, gallery, pairs],
        show_progress="minimal",
        trigger_mode="always_last",
        api_visibility="private",
    )
    # What is explained may be among the pictures no longer, or by another network.
    gr.on(changes, lambda: (CHOOSE, None, None), None, [sentence, label, overlay], **QUICK)
    gallery.select(
        explain_one,
        filters,
        [sentence, label, overlay],
        show_progress="minimal",
        trigger_mode="always_last",
        concurrency_id=NETWORK,
        api_visibility="private",
    )


def build_filters() -> tuple[gr.Dropdown, gr.Radio]:
    kind = gr.Dropdown(
        [ALL, *LABELS], value=ALL, label="Pictures of", min_width=160, elem_id="kind"
    )
    outcome = gr.Radio(
        [BOTH, RIGHT, WRONG], value=WRONG, label="Its answers", min_width=240, elem_id="outcome"
    )
    return kind, outcome


def build_gallery() -> gr.Gallery:
    return gr.Gallery(
        label="Test pictures",
        show_label=False,
        height=460,
        allow_preview=False,
        format="png",
        interactive=False,
        buttons=[],
        elem_id="pictures",
        elem_classes=["captions", "many"],
    )


def choose(variant: str, kind: str, outcome: str) -> tuple[str, Any, str]:
    """The sample's pictures that pass the filters, as the gallery shows them."""
    found = passing(variant, kind, outcome)
    items = [(entry.picture, caption(entry.label, label)) for entry, label in found]
    count = f"{len(found)} of {len(sample())} pictures"
    return count, gr.Gallery(items, selected_index=None), most_confused(variant)


def passing(variant: str, kind: str, outcome: str) -> list[tuple[SamplePicture, str]]:
    """The sample's pictures that pass the filters, and the network's answer to each."""
    labels = (next(iter(guess)) for guess in sample_answers(variant))
    answered = zip(sample(), labels, strict=True)
    return [(entry, label) for entry, label in answered if passes(entry, label, kind, outcome)]


def passes(entry: SamplePicture, label: str, kind: str, outcome: str) -> bool:
    if kind not in (ALL, entry.label):
        return False
    return outcome == BOTH or (outcome == RIGHT) == (label == entry.label)


def caption(truth: str, label: str) -> str:
    return truth if truth == label else f"{truth}, taken for {label}"


def most_confused(variant: str) -> str:
    """From the whole test set: which kind is taken most often for which other."""
    matrix = read_metrics(get_variant(variant))["test"]["confusion_matrix"]
    mistakes = [
        (count, truth, label)
        for truth, row in zip(LABELS, matrix, strict=True)
        for label, count in zip(LABELS, row, strict=True)
        if truth != label
    ]
    worst = sorted(mistakes, reverse=True)[:PAIRS]
    rows = [[f"{truth}, taken for {label}", f"{count}"] for count, truth, label in worst]
    return table(["What it mixes up most, of all 10,000 test pictures", "Times"], rows)


def explain_one(
    event: gr.SelectData, variant: str, kind: str, outcome: str
) -> tuple[str, Any, Any]:
    """Ask the network about the picture that the visitor chose."""
    found = passing(variant, kind, outcome)
    if event.index >= len(found):  # the filters have just changed
        return CHOOSE, None, None
    entry, _ = found[event.index]
    answered = answer(entry.picture, variant)
    sentence = f"{describe(answered)}\n\nTest picture {entry.index} shows: **{entry.label}**."
    overlay = gr.Image(answered.map_over_picture(OPACITY), alt_text=describe_map(answered))
    return sentence, answered.top(3), overlay
