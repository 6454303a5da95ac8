"""The fourth tab: all networks beside the report, and the curves of any two of them."""

import re
from html import escape
from typing import Any

import gradio as gr

from demo import markup
from demo.answers import sample_answers
from demo.charts import NOTE, curves, reliability
from demo.figures import read_config, read_metrics
from demo.parts import ASK, LOCAL, panel, variant_input
from demo.sample import sample
from demo.text import accuracy
from mobilenetv3_cifar.variants import Variant, get_variant, list_variants

INTRODUCTION = (
    "Every network learned from CIFAR-10's training images; validation images choose between "
    "networks, and 10,000 test images were kept for the end. A name says the network's size, its "
    "dropout rate and its epochs; *cifar32* networks read 32 by 32 pixels directly, the others "
    "first enlarge them to 224 by 224."
)
SECOND = "none"


def build(tab: gr.Tab) -> dict[str, Any]:
    names = [variant.name for variant in list_variants()]
    gr.Markdown(INTRODUCTION)
    panel(overview(), "overview")
    with gr.Row():
        first = variant_input("Network", "first")
        second = gr.Dropdown(
            [("no other", SECOND), *names],
            value=SECOND,
            label="Beside",
            filterable=False,
            elem_id="second",
        )
    details = panel(elem_id="details")
    calibration = panel(elem_id="calibration")
    with gr.Accordion("Its model card", open=False):
        text = gr.Markdown(card(names[0]), elem_id="card")
    gr.on([tab.select, first.change, second.change], show, [first, second], details, **LOCAL)
    gr.on([tab.select, first.change], describe_calibration, first, calibration, **ASK)
    first.change(card, first, text, **LOCAL)
    return {"first": first, "second": second}


def overview() -> str:
    """HTML: all networks, on their training images and on new ones."""
    head = ["Network", "Training", "Validation", "Test", "Test, report", "Difference"]
    rows = []
    for variant in list_variants():
        metrics = read_metrics(variant.name)
        ours, report = metrics["test"]["accuracy"], metrics["report"]
        printed, difference = "none printed", ""
        if report:
            printed = accuracy(report["accuracy"])
            difference = f"{100 * (ours - report['accuracy']):+.2f} points"
        parts = [metrics["train"]["accuracy"], metrics["validation"]["accuracy"], ours]
        rows.append([escape(variant.name), *map(accuracy, parts), printed, difference])
    return markup.table(head, rows, "Accuracy of every network")


def show(first: str, second: str) -> str:
    """HTML: the curves of one or two networks, and the figures of the first."""
    names = [first] if second in (SECOND, first) else [first, second]
    variant = get_variant(first)
    return (
        f"{curves(names)}<p>{NOTE}</p><h2>{escape(first)}</h2>"
        f'<div class="beside">{describe_training(variant)}{describe_classes(variant)}</div>'
    )


def describe_training(variant: Variant) -> str:
    metrics, config = read_metrics(variant.name), read_config(variant.name)
    test, training = metrics["test"], metrics["training"]
    size = config["image_size"]
    rows = [
        ["Input", f"{size} by {size} pixels"],
        ["Dropout", f"{config['dropout']:g}"],
        ["Correct test images", f"{test['correct']:,} of {test['total']:,}"],
        ["Top-5 accuracy", accuracy(test["top5_accuracy"])],
        ["Macro precision", accuracy(test["precision_macro"])],
        ["Macro recall", accuracy(test["recall_macro"])],
        ["Parameters", f"{metrics['parameters'] / 1e6:.2f} million"],
        ["Multiplications per image", f"{metrics['macs'] / 1e6:.0f} million"],
        ["File size", f"{variant.bytes / 1e6:.1f} MB"],
        ["Training", f"{metrics['epochs']} epochs, {training['seconds'] / 60:.0f} minutes"],
        ["Seed", f"{metrics['seed']}"],
    ]
    return markup.table(["Figure", "Value"], rows)


def describe_classes(variant: Variant) -> str:
    classes = read_metrics(variant.name)["test"]["per_class"]
    rows = [
        [label, accuracy(scores["recall"]), accuracy(scores["precision"])]
        for label, scores in classes.items()
    ]
    return markup.table(["Class", "Recall", "Precision"], rows)


def describe_calibration(name: str) -> str:
    """HTML: the reliability diagram over the sample, and what it means."""
    rows = [
        (next(iter(row.values())), next(iter(row)) == entry.label)
        for row, entry in zip(sample_answers(name), sample(), strict=True)
    ]
    sure = sum(value for value, _ in rows) / len(rows)
    right = sum(correct for _, correct in rows) / len(rows)
    return (
        "<h2>Can its probabilities be trusted?</h2><p>A bar that ends at the diagonal is honest: "
        "of the predictions with a probability of 80 %, 80 % are right. A bar below it is "
        f"overconfident. Here the mean probability is {100 * sure:.0f} %, and {100 * right:.0f} % "
        f"are right. The numbers count the predictions, {len(rows)} in all.</p>{reliability(rows)}"
    )


def card(name: str) -> str:
    """The model card without its metadata and its figures."""
    text = (get_variant(name).folder / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)
    text = re.sub(r"!\[[^]]*]\([^)]*\)\n?", "", text)
    # A screen reader says nothing about an empty heading of a column.
    return re.sub(r"^(\|.*\|)(?=\n\|[-|: ]+\|$)", name_columns, text, flags=re.MULTILINE)


def name_columns(head: re.Match[str]) -> str:
    cells = head[0].strip("|").split("|")
    return f"|{'|'.join(cell if cell.strip() else ' item ' for cell in cells)}|"
