"""Read the measurements of the shipped networks, and draw line charts of them.

The page's style sheet sets the colours, so that charts are readable in light and dark themes.
"""

import csv
import json
import math
from collections.abc import Sequence
from functools import cache
from html import escape
from typing import Any

import numpy as np

from demo.markup import percent
from mobilenetv3_cifar.variants import HISTORY_FILE, METRICS_FILE, get_variant

WIDTH, HEIGHT = 380, 210
LEFT, RIGHT, TOP, BOTTOM = 44, 370, 12, 176  # edges of the plot area
NOTE = (
    "In the curves, training accuracy and loss are averages over each epoch, measured with the "
    "augmentation and dropout that the network was trained with."
)
Points = Sequence[tuple[float, float]]


@cache
def read_metrics(name: str) -> dict[str, Any]:
    return json.loads((get_variant(name).folder / METRICS_FILE).read_text(encoding="utf-8"))


@cache
def read_history(name: str) -> list[dict[str, float]]:
    with (get_variant(name).folder / HISTORY_FILE).open(encoding="utf-8", newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def chart(title: str, x_label: str, lines: dict[str, Points], top: float = 1) -> str:
    """Draw an SVG chart whose y-axis runs from 0 to `top`. `lines` maps CSS classes to points."""
    across = [x for points in lines.values() for x, _ in points]
    start, end = min(across), max(across)
    x_scale, y_scale = (RIGHT - LEFT) / max(end - start, 1), (BOTTOM - TOP) / top
    marks = [
        f'<text x="{x}" y="{HEIGHT - 4 - up}" text-anchor="{anchor}">{text}</text>'
        for x, up, anchor, text in (
            (LEFT, 14, "start", f"{start:g}"),
            ((LEFT + RIGHT) / 2, 0, "middle", x_label),
            (RIGHT, 14, "end", f"{end:g}"),
        )
    ]
    for value in np.linspace(0, top, 6):
        y = BOTTOM - y_scale * value
        marks.append(f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        marks.append(f'<text x="{LEFT - 4}" y="{y + 4:.1f}" text-anchor="end">{value:.2g}</text>')
    transform = f"translate({LEFT} {BOTTOM}) scale({x_scale} {-y_scale}) translate({-start} 0)"
    drawn = [
        f'<polyline class="{style}" points="{" ".join(f"{x:.4g},{y:.4g}" for x, y in points)}"/>'
        for style, points in lines.items()
    ]
    return (
        f'<figure><figcaption>{title}</figcaption><svg class="chart" role="img" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" aria-label="{escape(title)}">{"".join(marks)}'
        f'<g transform="{transform}">{"".join(drawn)}</g></svg></figure>'
    )


def curves(
    names: Sequence[str], measures: Sequence[str] = ("accuracy", "loss"), epoch: int = 0
) -> str:
    """Draw the training and validation curves of one or two networks, one chart per measure.

    If `epoch` is not 0, the charts mark this epoch, and text below them states the accuracies of
    each network at this epoch, or at the network's last epoch if its training was shorter.
    """
    lines: dict[str, dict[str, Points]] = {measure: {} for measure in measures}
    keys, readings = [], []
    for number, name in enumerate(names):
        rows = read_history(name)
        for split, label in (("train", "training"), ("valid", "validation")):
            style = f"{split} n{number}"
            line = f'<svg viewBox="0 0 24 8"><polyline class="{style}" points="0,4 24,4"/></svg>'
            of = f"{name}, " if len(names) > 1 else ""
            keys.append(f"<span>{line} {of}{label}</span>")
            for measure in measures:
                lines[measure][style] = [(row["epoch"], row[f"{split}_{measure}"]) for row in rows]
        row = rows[min(epoch, len(rows)) - 1]
        train, valid = (percent(row[f"{split}_accuracy"]) for split in ("train", "valid"))
        readings.append(f"{name}, epoch {row['epoch']:.0f}: training {train}, validation {valid}.")
    charts = []
    for measure, drawn in lines.items():
        top = math.ceil(max(y for points in drawn.values() for _, y in points))
        cursor = {"cursor": [(epoch, 0), (epoch, top)]} if epoch else {}
        charts.append(chart(measure.capitalize(), "epoch", drawn | cursor, top))
    reading = f"<p>{'<br>'.join(readings)}</p>" if epoch else ""
    return (
        f'<div class="keys">{"".join(keys)}</div><div class="panels">{"".join(charts)}</div>'
        f"{reading}"
    )


def reliability(predictions: Sequence[tuple[float, bool]], groups: int = 5) -> str:
    """Draw the fraction of correct predictions against the mean probability.

    The sorted pairs (probability, correct) are split into `groups` parts, one for each point.
    """
    parts = np.array_split(np.array(sorted(predictions), float), groups)
    points = [(part[:, 0].mean(), part[:, 1].mean()) for part in parts]
    lines: dict[str, Points] = {"diagonal": [(0, 0), (1, 1)], "valid": points}
    return chart("Fraction of correct predictions", "mean probability of the prediction", lines)
