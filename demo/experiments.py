"""The third tab: how well each network does, beside what the report printed."""

import json
import re
from typing import Any

import gradio as gr
from PIL import Image

from demo.parts import variant_input
from demo.words import measured, table
from mobilenetv3_cifar.variants import METRICS_FILE, Variant, get_variant, list_variants

INTRODUCTION = (
    "Every network learned from the same 35,000 pictures. 15,000 others, the *validation* ones, "
    "say which network is best; 10,000 *test* pictures were kept for the end. A network that does "
    "much better on the pictures it learned from than on new ones has learned them by heart; one "
    "that does badly on both has learned too little."
)
FIGURES = {  # file: what it shows, and its least width in pixels
    "curves.png": ("How it learned, epoch by epoch", 420),
    "confusion_matrix.png": ("What it takes for what", 420),
    "activation_maps.png": ("Where it looks, when it is right and wrong by turns", 800),
    "batch.png": ("What it learned from", 800),
}


def build() -> None:
    first = get_variant()
    gr.Markdown(INTRODUCTION)
    gr.Markdown(overview(), elem_id="overview", elem_classes="table")
    variant = variant_input("Look closer at", "closer")
    with gr.Row(equal_height=False):
        with gr.Column(min_width=320):
            facts = gr.Markdown(describe_training(first), elem_id="facts", elem_classes="table")
        with gr.Column(min_width=320):
            classes = gr.Markdown(describe_classes(first), elem_id="classes", elem_classes="table")
    figures = []
    with gr.Row(elem_id="figures"):
        for file, (label, width) in FIGURES.items():
            figures.append(
                gr.Image(
                    figure(first, file),
                    label=label,
                    alt_text=label,
                    format="png",
                    interactive=False,
                    buttons=["download", "fullscreen"],
                    min_width=width,
                    elem_id=file.removesuffix(".png"),
                    elem_classes="figure",
                )
            )
    with gr.Accordion("Its model card", open=False):
        text = gr.Markdown(card(first), elem_id="card")
    variant.change(
        look_closer,
        variant,
        [facts, classes, *figures, text],
        show_progress="hidden",
        trigger_mode="always_last",
        api_visibility="private",
    )


def look_closer(name: str) -> list[Any]:
    variant = get_variant(name)
    return [
        describe_training(variant),
        describe_classes(variant),
        *(figure(variant, file) for file in FIGURES),
        card(variant),
    ]


def read_metrics(variant: Variant) -> dict[str, Any]:
    return json.loads((variant.folder / METRICS_FILE).read_text(encoding="utf-8"))


def overview() -> str:
    """All networks side by side, on what they learned from and on new pictures."""
    head = ["Network", "Learned from", "Validation", "Test", "Report's test", "Difference"]
    rows = []
    for variant in list_variants():
        metrics = read_metrics(variant)
        ours, report = metrics["test"]["accuracy"], metrics["report"]
        printed = measured(report["accuracy"]) if report else "not printed"
        points = f"{100 * (ours - report['accuracy']):+.2f} points" if report else ""
        shares = [metrics["train"]["accuracy"], metrics["validation"]["accuracy"], ours]
        rows.append([variant.name, *map(measured, shares), printed, points])
    return table(head, rows)


def describe_training(variant: Variant) -> str:
    metrics = read_metrics(variant)
    test, training = metrics["test"], metrics["training"]
    rows = [
        ["Right on test pictures", f"{test['correct']:,} of {test['total']:,}"],
        ["Right among its first five answers", measured(test["top5_accuracy"])],
        ["Macro precision", measured(test["precision_macro"])],
        ["Macro recall", measured(test["recall_macro"])],
        ["Parameters", f"{metrics['parameters'] / 1e6:.2f} million"],
        ["Multiplications for one picture", f"{metrics['macs'] / 1e6:.0f} million"],
        ["Size of its file", f"{variant.bytes / 1e6:.1f} MB"],
        ["Learned for", f"{metrics['epochs']} epochs, {training['seconds'] / 60:.0f} minutes"],
        ["Learned on", f"{training['device']}, seed {metrics['seed']}"],
    ]
    return table([variant.name, ""], rows)


def describe_classes(variant: Variant) -> str:
    classes = read_metrics(variant)["test"]["per_class"]
    rows = [
        [label, measured(scores["recall"]), measured(scores["precision"])]
        for label, scores in classes.items()
    ]
    return table(["Kind", "Of these, found", "Of its answers, right"], rows)


def figure(variant: Variant, file: str) -> Image.Image | None:
    path = variant.folder / file
    return Image.open(path) if path.exists() else None


def card(variant: Variant) -> str:
    """The card's text, without its metadata and without the pictures, which are shown above it."""
    text = (variant.folder / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)
    return re.sub(r"!\[[^]]*]\([^)]*\)\n?", "", text)
