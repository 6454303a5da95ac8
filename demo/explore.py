"""Show 300 test images, and a network's predictions for them, in the demo's second tab."""

from typing import Any

import gradio as gr

from demo.answers import answer, sample_answers
from demo.charts import read_metrics
from demo.markup import bars, button, legend, message, pixels, table
from demo.parts import ASK, LOCAL, choice, panel, variant_input
from demo.sample import sample
from demo.text import describe, draw
from mobilenetv3_cifar.preprocessing import LABELS

INTRODUCTION = (
    "These are the first thirty test images of each class. No network was trained on test images. "
    "Choose an image to see the network's prediction and the evidence for it."
)
MATRIX = (
    "<h2>Confusion matrix of all 10,000 test images</h2><p>Each row is a true class, and each "
    "column a predicted class. Choose a cell to see its images among the 300 above.</p>"
)
CHOOSE = message("", "Choose an image.")
ANY, RIGHT, WRONG = "any", "right", "wrong"
SCROLL = "() => document.getElementById('%s').scrollIntoView({ block: 'nearest' })"


def build(tab: gr.Tab) -> dict[str, Any]:
    """Fill `tab`.

    Classifying the images takes seconds, so it happens only when a visitor opens the tab.
    """
    gr.Markdown(INTRODUCTION)
    with gr.Row():
        variant = variant_input("explorer")
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
    chosen = gr.Textbox(visible="hidden", label="chosen")  # the key of the chosen sample image

    filters: list[Any] = [variant, truth, predicted]
    gr.on([tab.select, *(each.change for each in filters)], choose, filters, images, **ASK)
    gr.on([tab.select, variant.change], confusion, variant, matrix, **LOCAL)
    images.select(pick, None, chosen, **LOCAL)
    variant.change(explain_one, [chosen, variant], explained, **ASK)
    drawn = chosen.change(explain_one, [chosen, variant], explained, **ASK)
    drawn.then(None, None, None, js=SCROLL % "explained", **LOCAL)
    cell = matrix.select(pick_cell, None, [truth, predicted], **LOCAL)
    cell.then(None, None, None, js=SCROLL % "images", **LOCAL)
    return {"explorer": variant, "truth": truth, "predicted": predicted, "chosen": chosen}


def pick(event: gr.EventData) -> str:
    return str(event.id)


def pick_cell(event: gr.EventData) -> list[str]:
    """Return the values of the filters `truth` and `predicted` for the clicked cell."""
    truth, _, predicted = str(event.id).partition(":")
    return [label if label in LABELS else ANY for label in (truth, predicted)]


def choose(variant: str, truth: str, predicted: str) -> str:
    """Return HTML with the sample images whose true and predicted class pass the filters."""
    chosen = passing(variant, truth, predicted)
    tiles = ""
    for key, label in chosen.items():
        image, _, true = sample()[key]
        caption = label if label == true else f"{true}, predicted {label}"
        tiles += button(key, f"{pixels(image)}{caption}", caption)
    none = "" if chosen else " Change the filters to see some."
    count = f'<p aria-live="polite">{len(chosen)} of {len(sample())} images.{none}</p>'
    return f'{count}<div class="tiles">{tiles}</div>'


def passing(variant: str, truth: str, predicted: str) -> dict[str, str]:
    """Return {key: predicted label} for the sample images that pass the filters."""
    return {
        key: label
        for key, (label, _) in sample_answers(variant).items()
        if truth in (ANY, sample()[key].label)
        and predicted in (ANY, label, RIGHT if label == sample()[key].label else WRONG)
    }


def confusion(variant: str) -> str:
    """Draw a confusion matrix. A click on a cell sends "truth:predicted" to `pick_cell`."""
    matrix = read_metrics(variant)["test"]["confusion_matrix"]
    most = max(1, *(n for i, row in enumerate(matrix) for j, n in enumerate(row) if i != j))
    rows = []
    for truth, counts in zip(LABELS, matrix, strict=True):
        cells = [truth]
        for label, count in zip(LABELS, counts, strict=True):
            kind = "right" if truth == label else "wrong"
            style = f'class="{kind}" style="--part:{min(1, count / most):.2f}"'
            description = f"{truth} predicted {label}: {count}"
            cells.append(button(f"{truth}:{label}", str(count), description, style))
        rows.append(cells)
    return MATRIX + table(["true class", *LABELS], rows, "Confusion matrix", "matrix")


def explain_one(key: str, variant: str) -> str:
    """Explain the prediction for image `key`. If it is wrong, add a map for the true class."""
    if key not in sample():
        return CHOOSE
    image, index, truth = sample()[key]
    answered, scale = answer(image, variant), ""
    if answered.label != truth:
        answered = answer(image, variant, targets=[answered.label, truth])
        scale = " The maps of both classes share one scale."
    return (
        f"{describe(answered)}<p>Test image {index}: the true class is <b>{truth}</b>.{scale}</p>"
        f"{draw(answered)}{bars(answered.top(3))}"
        f'<a href="?image={key}&amp;network={variant}">Open this image in "Try it"</a>'
    )
