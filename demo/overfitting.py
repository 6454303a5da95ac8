"""The third tab: networks that underfit, fit and overfit, side by side."""

from html import escape

import gradio as gr

from demo.charts import NOTE, curves
from demo.figures import fitting, gap, read_metrics
from demo.markup import percent
from demo.parts import panel

INTRODUCTION = (
    "A network that **underfits** has learned too little: its accuracy is low on its own training "
    "images too. One that **overfits** knows its training images much better than new ones: the "
    f"two curves part. In between, both curves rise together. {NOTE}"
)
SPAN = (0.4, 1.0)  # of the charts, so that they can be compared
REASONS = {
    "Underfits": "Both are low",
    "Fits": "Both are close",
    "Overfits": "They are far apart",
}


def build() -> None:
    gr.Markdown(INTRODUCTION)
    panel(page(), "fitting")


def page() -> str:
    """HTML: a row per size, a column per kind of fit."""
    rows = []
    for size in ("small", "large"):
        columns = "".join(column(kind, name) for kind, name in fitting(size).items())
        rows.append(f'<h2>{size.capitalize()} networks</h2><div class="fitting">{columns}</div>')
    return "".join(rows)


def column(kind: str, name: str | None) -> str:
    if name is None:
        text = f"<p>No shipped network of this size {kind.lower()}.</p>"
    else:
        text = (
            f"<p><b>{escape(name)}</b><br>{verdict(kind, name)}</p>"
            f"{curves([name], ['accuracy'], SPAN)}"
        )
    return f"<section><h3>{kind}</h3>{text}</section>"


def verdict(kind: str, name: str) -> str:
    """The measured accuracies, without dropout and augmentation, in words."""
    metrics = read_metrics(name)
    training, validation = (percent(metrics[s]["accuracy"], 2) for s in ("train", "validation"))
    return (
        f"{training} on training images, {validation} on validation images. "
        f"{REASONS[kind]}: the gap is {100 * gap(name):.2f} points."
    )
