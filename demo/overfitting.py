"""The third tab: networks that underfit, fit and overfit, side by side."""

from html import escape

import gradio as gr

from demo.charts import NOTE, curves
from demo.figures import fitting, gap, read_metrics
from demo.parts import panel
from demo.text import accuracy

INTRODUCTION = (
    "A network that **underfits** has learned too little: its accuracy is low on its own training "
    "images too. One that **overfits** knows its training images much better than new ones: the "
    "two curves part. In between, both curves rise together. "
    f"{NOTE}"
)
AXIS = (0.4, 0.9)  # of accuracies at least, so that the charts can be compared
KINDS = ("Underfits", "Fits", "Overfits")
MISSING = {
    "Underfits": "None of the shipped networks of this size underfits.",
    "Fits": "None of the shipped networks of this size fits.",
    "Overfits": "None of the shipped networks of this size overfits: no gap is over 5 points.",
}


def build() -> None:
    gr.Markdown(INTRODUCTION)
    panel(page(), "fitting")


def page() -> str:
    """HTML: a row per size, a column per kind of fit."""
    chosen = {size: fitting(size) for size in ("small", "large")}
    rows = []
    for size, names in chosen.items():
        columns = (column(kind, name) for kind, name in zip(KINDS, names, strict=True))
        rows.append(
            f'<h2>{size.capitalize()} networks</h2><div class="fitting">{"".join(columns)}</div>'
        )
    return "".join(rows)


def column(kind: str, name: str | None) -> str:
    if name is None:
        return f"<section><h3>{kind}</h3><p>{MISSING[kind]}</p></section>"
    return (
        f"<section><h3>{kind}</h3><p><b>{escape(name)}</b><br>{verdict(kind, name)}</p>"
        f"{curves([name], losses=False, accuracies=AXIS)}</section>"
    )


def verdict(kind: str, name: str) -> str:
    """One sentence of the measured accuracies, without dropout and augmentation."""
    metrics = read_metrics(name)
    training, validation = metrics["train"]["accuracy"], metrics["validation"]["accuracy"]
    reason = {
        "Underfits": "Both are low",
        "Fits": "Both are close",
        "Overfits": "They are far apart",
    }[kind]
    return (
        f"{accuracy(training)} on training images, {accuracy(validation)} on validation images. "
        f"{reason}: the gap is {100 * gap(name):.2f} points."
    )
