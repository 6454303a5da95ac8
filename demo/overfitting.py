"""Compare networks that underfit, fit well or overfit, in the demo's third tab."""

from typing import Any

import gradio as gr

from demo.charts import NOTE, curves, read_history, read_metrics
from demo.markup import percent
from demo.parts import panel
from mobilenetv3_cifar.variants import list_variants

INTRODUCTION = (
    "A network **underfits** if it has learned too little: its accuracy is low even on its own "
    "training images. A network **overfits** if its validation loss rises while it continues "
    "to learn its training images. A network **fits well** if it neither underfits nor overfits. "
    f"{NOTE}"
)
# These limits only choose examples: the verdicts in REPRODUCTION.md follow other rules.
RISE = 0.1  # a network overfits if its rise() exceeds this limit
LOW = 0.05  # a network underfits if its training accuracy is this much below that of a good fit


def rise(name: str) -> float:
    """Return how far the final validation loss is above the lowest, relative to the lowest."""
    losses = [row["valid_loss"] for row in read_history(name)]
    return losses[-1] / min(losses) - 1


def fitting(size: str) -> dict[str, str | None]:
    """Map "Underfits", "Fits well" and "Overfits" to the best example of each, or to None.

    The examples are networks of `size`. Networks with our own settings are left out, because they
    were trained for high accuracy, not to show the effect of one setting.
    """
    names = [
        variant.name
        for variant in list_variants()
        if variant.name.startswith(size) and read_metrics(variant.name).get("kind") != "own"
    ]
    train = {name: read_metrics(name)["train"]["accuracy"] for name in names}
    fits = next((name for name in names if rise(name) <= RISE), None)  # most accurate first
    limit = train[fits] - LOW if fits else 0.0
    low = [name for name in names if train[name] < limit]
    return {
        "Underfits": min(low, key=train.__getitem__, default=None),
        "Fits well": fits,
        "Overfits": max((name for name in names if rise(name) > RISE), key=rise, default=None),
    }


def build(tab: gr.Tab) -> dict[str, Any]:
    gr.Markdown(INTRODUCTION)
    panel(page(), "fitting")
    return {}


def page() -> str:
    rows = ""
    for size in ("small", "large"):
        columns = "".join(column(kind, name) for kind, name in fitting(size).items())
        rows += f'<h2>{size.capitalize()} networks</h2><div class="fitting">{columns}</div>'
    return rows


def column(kind: str, name: str | None) -> str:
    """Show the final accuracies of the network `name`, and its curves.

    Unlike the training curve, the final accuracies were measured without dropout or augmentation.
    """
    if name is None:
        return f"<section><h3>{kind}</h3>No shipped network of this size {kind.lower()}.</section>"
    metrics = read_metrics(name)
    training, validation = (percent(metrics[s]["accuracy"], 2) for s in ("train", "validation"))
    end = f"{percent(rise(name))} above" if rise(name) else "at"
    return (
        f"<section><h3>{kind}</h3><p><b>{name}</b><br>Accuracy: {training} on its "
        f"{metrics['train']['total']:,} training images, {validation} on validation images. "
        f"The validation loss ends {end} its lowest value.</p>"
        f"{curves([name])}</section>"
    )
