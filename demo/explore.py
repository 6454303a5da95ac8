"""The second tab: 300 test images, what a network predicts for them, and what it confuses."""

from html import escape
from typing import Any

import gradio as gr

from demo.answers import answer, sample_answers
from demo.figures import read_metrics
from demo.markup import bars, button, legend, maps, message, pixels, table
from demo.parts import ASK, LOCAL, choice, panel, variant_input
from demo.sample import sample
from demo.text import describe, maps_of
from mobilenetv3_cifar.preprocessing import LABELS

INTRODUCTION = (
    "The first thirty test images of each class. No network was trained on them. Choose one to see "
    "the evidence for its prediction; choose a cell of the table to see the images it counts."
)
MATRIX = (
    "<h2>Confusion matrix of all 10,000 test images</h2><p>Rows: the true class. Columns: the "
    "prediction. A cell shows its images among the 300 above.</p>"
)
CHOOSE = message("", "Choose an image.")
ANY, RIGHT, WRONG = "any", "right", "wrong"
SCROLL = "() => document.getElementById('explained').scrollIntoView({ block: 'nearest' })"


def build(tab: gr.Tab) -> dict[str, Any]:
    """Fill `tab`; its images come when it is opened, since classifying them takes seconds."""
    gr.Markdown(INTRODUCTION)
    with gr.Row():
        variant = variant_input("Network", "explorer")
        truth = choice("True class", [("any", ANY), *LABELS], "truth")
        outcomes = [("wrong", WRONG), ("right", RIGHT), ("any", ANY), *LABELS]
        predicted = choice("Prediction", outcomes, "predicted")
    with gr.Row():
        with gr.Column(scale=3, min_width=280):
            images = panel(elem_id="images")
        with gr.Column(scale=2, min_width=280):
            explained = panel(CHOOSE, "explained")
            panel(legend())
    matrix = panel(elem_id="confusion")
    chosen = gr.Textbox(visible="hidden", label="chosen")  # the key of a test image

    filters: list[Any] = [variant, truth, predicted]
    gr.on([tab.select, *(each.change for each in filters)], choose, filters, images, **ASK)
    gr.on([tab.select, variant.change], confusion, variant, matrix, **LOCAL)
    images.select(pick, None, chosen, **LOCAL).then(None, None, None, js=SCROLL, **LOCAL)
    gr.on([chosen.change, variant.change], explain_one, [chosen, variant], explained, **ASK)
    matrix.select(pick_cell, None, [truth, predicted], **LOCAL)
    return {"explorer": variant, "truth": truth, "predicted": predicted, "chosen": chosen}


def pick(event: gr.EventData) -> str:
    return str(event.id)


def pick_cell(event: gr.EventData) -> list[str]:
    """The true class and the prediction of a cell of the confusion matrix."""
    return str(event.id).split(":")


def choose(variant: str, truth: str, predicted: str) -> str:
    """HTML: the sample's images that pass the filters."""
    found = passing(variant, truth, predicted)
    tiles = []
    for key, label in found.items():
        entry = sample()[key]
        words = label if label == entry.label else f"{entry.label}, predicted {label}"
        tiles.append(button(key, f"{pixels(entry.image)}<span>{words}</span>", words))
    none = "" if found else " Other filters show more."
    count = f'<p aria-live="polite">{len(found)} of {len(sample())} images.{none}</p>'
    return f'{count}<div class="tiles">{"".join(tiles)}</div>'


def passing(variant: str, truth: str, predicted: str) -> dict[str, str]:
    """The predictions of the sample's images that pass the filters, by their keys."""
    found = {}
    for key, (label, _) in sample_answers(variant).items():
        true = sample()[key].label
        outcome = RIGHT if label == true else WRONG
        if truth in (ANY, true) and predicted in (ANY, outcome, label):
            found[key] = label
    return found


def confusion(variant: str) -> str:
    """HTML: rows true, columns predicted; a cell is a button that sends "truth:predicted"."""
    matrix = read_metrics(variant)["test"]["confusion_matrix"]
    most = max(1, *(n for i, row in enumerate(matrix) for j, n in enumerate(row) if i != j))
    rows = []
    for truth, counts in zip(LABELS, matrix, strict=True):
        cells = [truth]
        for label, count in zip(LABELS, counts, strict=True):
            kind = "right" if truth == label else "wrong"
            style = f'class="{kind}" style="--part:{min(1, count / most):.2f}"'
            words = f"{truth} predicted {label}: {count}"
            cells.append(button(f"{truth}:{label}", str(count), words, style))
        rows.append(cells)
    return MATRIX + table(["true class", *LABELS], rows, "Confusion matrix", "matrix")


def explain_one(key: str, variant: str) -> str:
    """HTML: the answer for one image; for a mistake, the maps of both classes on one scale."""
    entry = sample().get(key)
    if entry is None:
        return CHOOSE
    found = answer(entry.image, variant)
    scale = ""
    if found.label != entry.label:
        found = answer(entry.image, variant, targets=[found.label, entry.label])
        scale = " Prediction and true class, on one scale:"
    return (
        f"{describe(found)}<p>Test image {entry.index}: the true class is "
        f"<b>{escape(entry.label)}</b>.{scale}</p>"
        f"{maps(entry.image, maps_of(found), f'{key}-{variant}')}{bars(found.top(3))}"
        f'<p><a href="?image={key}&amp;network={escape(variant)}">Open this image in "Try it"</a>'
        "</p>"
    )
