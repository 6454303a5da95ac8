"""Compare all networks with the student report and show their curves, in the demo's fourth tab."""

from typing import Any

import gradio as gr

from demo.answers import load, sample_answers
from demo.charts import NOTE, curves, read_history, read_metrics, reliability
from demo.markup import percent, table
from demo.parts import ASK, LOCAL, choice, panel, variant_input
from demo.sample import sample
from mobilenetv3_cifar.variants import list_variants

INTRODUCTION = (
    "Every network was trained on training images of CIFAR-10, and no setting was chosen with test "
    "images. Most names state a network's size, dropout rate and number of epochs. *Report's "
    'test* is the test accuracy in the student report (see the tab "Claims"), *Images* the number '
    "of training images, *Input* the width and height of the network's input in pixels, and *MACs* "
    "the number of multiply-add operations for one image."
)
NONE = "none"


def build(tab: gr.Tab) -> dict[str, Any]:
    names = [variant.name for variant in list_variants()]
    gr.Markdown(INTRODUCTION)
    panel(overview(), "overview")
    with gr.Row():
        first = variant_input("first")
        second = choice("Compare with", [("no other", NONE), *names], "second", min_width=240)
        label = "Epoch, in % of training"
        progress = gr.Slider(0, 100, 100, step=1, label=label, buttons=[], elem_id="epoch")
    details = panel(elem_id="details")
    calibration = panel(elem_id="calibration")
    asked: list[Any] = [first, second, progress]
    gr.on([tab.select, *(each.change for each in asked)], draw, asked, details, **LOCAL)
    gr.on([tab.select, first.change], describe_calibration, first, calibration, **ASK)
    return {"first": first, "second": second}


def overview() -> str:
    head = ["Network", "Training", "Validation", "Test", "Report's test", "Difference"]
    rows = []
    for variant in list_variants():
        metrics = read_metrics(variant.name)
        measured = [metrics[split]["accuracy"] for split in ("train", "validation", "test")]
        compared = ["", ""]  # the report gives no accuracy for some experiments
        if metrics["report"]:
            report = metrics["report"]["accuracy"]
            compared = [percent(report, 2), f"{100 * (measured[-1] - report):+.2f} points"]
        shown = [percent(each, 2) for each in measured]
        size = load(variant.name).config.image_size
        facts = [f"{metrics['train']['total']:,}", str(size), f"{variant.macs / 1e6:.0f} M"]
        rows.append([variant.name, *shown, *compared, *facts])
    return table([*head, "Images", "Input", "MACs"], rows, "Accuracy of every network")


def draw(first: str, second: str, progress: float) -> str:
    """Draw the curves of one or two networks, and state their accuracies at one epoch.

    `progress` is this epoch as a percentage of the longer training run.
    """
    names = [first] if second in (NONE, first) else [first, second]
    epoch = max(1, round(progress / 100 * max(len(read_history(name)) for name in names)))
    return f"{curves(names, epoch=epoch)}<p>{NOTE}</p>"


def describe_calibration(name: str) -> str:
    predictions = sample_answers(name).items()
    rows = [(value, label == sample()[key].label) for key, (label, value) in predictions]
    error = 100 * read_metrics(name)["test"]["ece"]
    return (
        "<h2>Can the network's probabilities be trusted?</h2><p>Yes, if the solid line follows the "
        "dashed diagonal: then 80 % of the predictions with a probability of 80 % are right. If "
        "the solid line lies below the diagonal, the network is overconfident. Over all 10,000 "
        f"test images, probability and accuracy differ by {error:.1f} points on average (expected "
        f'calibration error). The diagram shows the {len(rows)} images of the tab "Test images" in '
        "five groups of equal size.</p>"
        f"{reliability(rows)}"
    )
