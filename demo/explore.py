"""The second tab: 300 test images, what a network predicts for them, and what it confuses."""

from html import escape
from typing import Any

import gradio as gr

from demo.answers import answer, sample_answers
from demo.charts import confusion
from demo.figures import read_metrics
from demo.markup import Map, bars, maps, tiles
from demo.parts import ASK, LOCAL, choice, legend, panel, scroll_to, selectable, variant_input
from demo.sample import SampleImage, find, sample
from demo.text import describe, describe_map
from demo.try_it import caption
from mobilenetv3_cifar.preprocessing import LABELS

INTRODUCTION = (
    "The first thirty test images of each class. No network was trained on them. Choose one to see "
    "the evidence for its prediction; choose a cell of the table to see the images it counts."
)
CHOOSE = '<div class="answer" aria-live="polite"><p>Choose an image.</p></div>'
ANY, RIGHT, WRONG = "any", "right", "wrong"


def build(tab: gr.Tab) -> dict[str, Any]:
    """Fill `tab`; its images come when it is opened, since classifying them takes seconds."""
    gr.Markdown(INTRODUCTION)
    with gr.Row():
        variant = variant_input("Network", "explorer")
        truth = choice("True class", [("any", ANY), *LABELS], "truth")
        predicted = choice(
            "Prediction",
            [("wrong", WRONG), ("right", RIGHT), ("any", ANY), *LABELS],
            "predicted",
        )
    with gr.Row():
        with gr.Column(scale=3, min_width=280):
            images = selectable(elem_id="images")
        with gr.Column(scale=2, min_width=280):
            explained = panel(CHOOSE, "explained")
            legend()
    matrix = selectable(elem_id="confusion")

    filters: list[Any] = [variant, truth, predicted]
    changes = [each.change for each in filters]
    gr.on([tab.select, *changes], choose, filters, [images, matrix], **ASK)
    gr.on(changes, lambda: CHOOSE, None, explained, **LOCAL)
    images.select(explain_one, variant, explained, **ASK).then(**scroll_to("explained"))
    cell = matrix.select(choose_cell, None, [truth, predicted], **LOCAL)
    cell.then(**scroll_to("images"))
    return {"explorer": variant, "truth": truth, "predicted": predicted}


def choose(variant: str, truth: str, predicted: str) -> tuple[str, str]:
    """HTML: the sample's images that pass the filters, and the confusion matrix."""
    found = passing(variant, truth, predicted)
    items = [(entry.key, entry.image, describe_pair(entry, label)) for entry, label in found]
    none = "" if items else " Other filters show more."
    matrix = read_metrics(variant)["test"]["confusion_matrix"]
    return (
        f'<p aria-live="polite">{len(found)} of {len(sample())} images.{none}</p>{tiles(items)}',
        confusion(matrix),
    )


def passing(variant: str, truth: str, predicted: str) -> list[tuple[SampleImage, str]]:
    """The sample's images that pass the filters, each with the network's prediction."""
    labels = (next(iter(row)) for row in sample_answers(variant))
    pairs = zip(sample(), labels, strict=True)
    return [(entry, label) for entry, label in pairs if passes(entry, label, truth, predicted)]


def passes(entry: SampleImage, label: str, truth: str, predicted: str) -> bool:
    if truth not in (ANY, entry.label):
        return False
    if predicted in (RIGHT, WRONG):
        return (predicted == RIGHT) == (label == entry.label)
    return predicted in (ANY, label)


def describe_pair(entry: SampleImage, label: str) -> str:
    return label if label == entry.label else f"{entry.label}, predicted {label}"


def choose_cell(event: gr.EventData) -> tuple[str, str]:
    """A cell of the confusion matrix was chosen: show the images that it counts."""
    truth, _, predicted = str(event.id).partition(":")
    return truth, predicted


def explain_one(event: gr.EventData, variant: str) -> str:
    """HTML: the answer for one image; for a mistake, the maps of both classes on one scale."""
    entry = find(str(event.id))
    if entry is None:
        return CHOOSE
    first = answer(entry.image, variant)
    wrong = first.label != entry.label
    shown = answer(entry.image, variant, targets=[first.label, entry.label]) if wrong else first
    drawn = [
        Map(heatmap, caption(shown, index), describe_map(shown, index))
        for index, heatmap in enumerate(shown.heatmaps())
    ]
    truth = f"Test image {entry.index}: the true class is <b>{escape(entry.label)}</b>."
    scale = " Prediction and true class, on one scale:" if wrong else ""
    link = f"?image={entry.key}&amp;network={escape(variant)}"
    return (
        f"{describe(shown)}<p>{truth}{scale}</p>"
        f"{maps(entry.image, drawn, f'{entry.key}-{variant}')}{bars(shown.top(3))}"
        f'<p><a href="{link}">Open this image in "Try it"</a></p>'
    )
